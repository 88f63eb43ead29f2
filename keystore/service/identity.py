"""Who calls, and what his policies say."""

from __future__ import annotations

import functools
from collections.abc import Callable

from keystore.access import field, policy, readymade
from keystore.access.acl import ROOT, Acl, fill
from keystore.access.policy import Rule
from keystore.access.token import Token
from keystore.barrier.overlay import View
from keystore.engines.request import RequestError
from keystore.service import leases, mounts
from keystore.service.call import Call
from keystore.service.wrapping import POLICY as WRAPPING

_WRAPPING_TEXT = b"""
path "cubbyhole/response" { capabilities = ["create", "read"] }
path "sys/wrapping/unwrap" { capabilities = ["update"] }
"""
_POLICIES_CACHED = 512


@functools.lru_cache(maxsize=_POLICIES_CACHED)
def _rules(text: bytes) -> tuple[Rule, ...]:
    return policy.parse(text.decode())


@functools.lru_cache(maxsize=_POLICIES_CACHED)
def _acl(texts: tuple[bytes, ...], identity: tuple[tuple[str, str], ...]) -> Acl:
    found = dict(identity)
    filled = (fill(rule, found) for text in texts for rule in _rules(text))
    return Acl(rule for rule in filled if rule is not None)


_ROOT = Acl((), root=True)


def caller(call: Call) -> Token | None:
    """Return the token that a request shows, or None where it shows none.

    Raises: RequestError of status 403 for one that is unknown, over, or used from elsewhere.
    """
    secret = call.inbound.token
    if not secret:
        return None
    found = call.core.open.tokens.find(call.view, secret, call.now)
    if found is None or not field.among(call.inbound.remote, found.cidrs):
        return None
    return found


def acl(call: Call) -> Acl:
    """Return what the caller's policies say."""
    return acl_of(call.view, call.caller)


def acl_of(view: View, token: Token) -> Acl:
    """Return what a token's policies say; a policy that is not there says nothing."""
    if ROOT in token.policies:
        return _ROOT
    texts = []
    for name in token.policies:
        text = _WRAPPING_TEXT if name == WRAPPING else view.get(readymade.PREFIX + name)
        if text is not None:
            texts.append(text)
    templated = any(b"{{" in text for text in texts)
    return _acl(tuple(texts), tuple(sorted(_properties(view, token).items())) if templated else ())


def _properties(view: View, token: Token) -> dict[str, str]:
    """Return what templates of policies may name of a caller."""
    mount = next((one for one in mounts.read(view, mounts.AUTH).values() if one.route == token.mount), None)
    found = {"identity.entity.id": token.entity, "identity.entity.name": token.alias}
    metadata = dict(token.meta or {})
    found |= {f"identity.entity.metadata.{key}": value for key, value in metadata.items()}
    if mount is not None:
        alias = f"identity.entity.aliases.{mount.accessor}."
        found |= {f"{alias}name": token.alias, f"{alias}id": token.entity}
        found |= {f"{alias}metadata.{key}": value for key, value in metadata.items()}
    return found


def use(call: Call) -> None:
    """Count one use of the caller's token; after its last use it is revoked."""
    tokens = call.core.open.tokens
    if call.caller.num_uses:
        call.last_use = tokens.use(call.view, call.caller)
        call.token = tokens.by_id(call.view, call.caller.id, call.now)


def revoke(call: Call, identifier: str) -> None:
    """Forget a token, all that came from it, and what was lent to any of them."""
    call.core.open.tokens.revoke(call.view, identifier, _forget(call))


def revoke_alone(call: Call, identifier: str) -> None:
    """Forget a token and what was lent to it; its children live on."""
    call.core.open.tokens.revoke_alone(call.view, identifier, _forget(call))


def _forget(call: Call) -> Callable[[str], None]:
    return functools.partial(forget_token, call)


def forget_token(call: Call, identifier: str) -> None:
    """Take back what hangs on a token: its leases and its cubbyhole."""
    view = call.view
    leases.revoke_of_token(view, identifier, call.moment)
    cubbyhole = mounts.read(view, mounts.SECRET).get("cubbyhole/")
    if cubbyhole is not None:
        for path in view.paths(f"{cubbyhole.prefix}{identifier}/"):
            view.delete(path)


def checked_name(name: str) -> str:
    """Return the name of a policy in its one form.

    Raises: RequestError.
    """
    found = name.lower().strip()
    if not found or "/" in found:
        raise RequestError(f"expected the name of a policy, got {name!r}")
    return found
