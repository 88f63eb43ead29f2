"""Wrap a response: it stays in the cubbyhole of a token of one use, and only that token is sent."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from keystore.access.token import Token, Tokens
from keystore.barrier.overlay import View
from keystore.engines.request import RequestError
from keystore.service import mounts

POLICY = "response-wrapping"
_INFO, _RESPONSE = "info", "response"
_INVALID = "wrapping token is not valid or does not exist"


def wrap(view: View, tokens: Tokens, document: dict[str, Any], *, path: str, ttl_s: int, now: int) -> dict[str, Any]:
    """Keep a response under a new token; return what is told of that token."""
    secret, token = tokens.make(
        view,
        Token(
            id="",
            accessor="",
            path=path,
            policies=(POLICY,),
            display_name="",
            created=now,
            expires=now + ttl_s,
            ttl=ttl_s,
            creation_ttl=ttl_s,
            max_ttl=ttl_s,
            explicit_max_ttl=ttl_s,
            num_uses=1,
            uses=1,
        ),
    )
    auth = document.get("auth")
    info = {"creation_path": path, "creation_time": now, "creation_ttl": ttl_s}
    view.put(_place(view, token, _INFO), json.dumps(info).encode())
    view.put(_place(view, token, _RESPONSE), json.dumps(document).encode())
    found = {
        "token": secret,
        "accessor": token.accessor,
        "ttl": ttl_s,
        "creation_time": _shown(now),
        "creation_path": path,
    }
    if isinstance(auth, dict) and auth.get("accessor"):
        found["wrapped_accessor"] = auth["accessor"]
    return found


def find(view: View, tokens: Tokens, secret: str, now: int) -> Token:
    """Return a wrapping token.

    Raises: RequestError.
    """
    token = tokens.find(view, secret, now)
    if token is None or token.policies != (POLICY,):
        raise RequestError(_INVALID)
    return token


def info(view: View, token: Token) -> dict[str, Any]:
    """Return where and when a response was wrapped.

    Raises: RequestError.
    """
    return _read(view, token, _INFO)


def response(view: View, token: Token) -> dict[str, Any]:
    """Return the response that a token wraps.

    Raises: RequestError.
    """
    return _read(view, token, _RESPONSE)


def lookup(found: dict[str, Any]) -> dict[str, Any]:
    """Return what a lookup of a wrapping token answers."""
    return {**found, "creation_time": _shown(found["creation_time"])}


def _read(view: View, token: Token, what: str) -> dict[str, Any]:
    data = view.get(_place(view, token, what))
    if data is None:
        raise RequestError(_INVALID)
    found: dict[str, Any] = json.loads(data)
    return found


def _place(view: View, token: Token, what: str) -> str:
    return f"{mounts.read(view, mounts.SECRET)['cubbyhole/'].prefix}{token.id}/{what}"


def _shown(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
