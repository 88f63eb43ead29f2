"""Understand a request: operation, path, data; nothing of it is believed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from keystore.access import duration
from keystore.engines.request import Operation, RequestError
from keystore.errors import KeystoreError
from keystore.service.message import Inbound

_OPERATIONS = {
    "GET": Operation.READ,
    "HEAD": Operation.READ,
    "LIST": Operation.LIST,
    "POST": Operation.UPDATE,
    "PUT": Operation.UPDATE,
    "PATCH": Operation.PATCH,
    "DELETE": Operation.DELETE,
}
_PATH_MOST = 4096
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BINARY = "sys/storage/raft/snapshot"
_WRAP_MOST_S = 365 * 86_400


def operation_of(inbound: Inbound) -> Operation:
    """Return what is asked for; a GET with `list=true` is a list.

    Raises: RequestError of status 405.
    """
    if inbound.method not in _OPERATIONS:
        raise RequestError("unsupported method", status=405)
    if inbound.method == "GET" and inbound.query.get("list", "").lower() in ("true", "1"):
        return Operation.LIST
    return _OPERATIONS[inbound.method]


def path_of(inbound: Inbound) -> str:
    """Return the path without slashes at its ends.

    Raises: RequestError for one that could mean another place.
    """
    path = inbound.path
    if len(path) > _PATH_MOST or _CONTROL.search(path):
        raise RequestError(f"expected a path of at most {_PATH_MOST} printable characters, got another")
    path = path.strip("/")
    if ".." in path.split("/") or "//" in path:
        raise RequestError("path cannot contain parent references or empty segments")
    return path


def data_of(inbound: Inbound, operation: Operation) -> Mapping[str, Any]:
    """Return the JSON object of the body; the query for what has no body.

    Raises: RequestError.
    """
    if operation in (Operation.READ, Operation.LIST):
        return {name: value for name, value in inbound.query.items() if name != "list"}
    if inbound.path.startswith(_BINARY):
        return {}
    if not inbound.body.strip():
        return dict(inbound.query) if operation is Operation.DELETE else {}
    return parse(inbound.body)


def parse(body: bytes) -> dict[str, Any]:
    """Return the JSON object of a body.

    Raises: RequestError.
    """
    try:
        found = json.loads(body.decode("utf-8"), parse_constant=_refuse)
        if b"\\u" in body:
            # Half of a surrogate pair is no text: it could be neither kept nor answered.
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise RequestError("failed to parse JSON input: expected one object in UTF-8") from None
    if not isinstance(found, dict):
        raise RequestError("failed to parse JSON input: expected an object")
    return found


def wrap_of(inbound: Inbound) -> int:
    """Return for how many seconds the response is to be wrapped, or 0.

    Raises: RequestError.
    """
    try:
        found = duration.parse(inbound.wrap_ttl, "X-Vault-Wrap-TTL")
    except KeystoreError as error:
        raise RequestError(str(error)) from None
    if found > _WRAP_MOST_S:
        raise RequestError(f"X-Vault-Wrap-TTL: expected at most {_WRAP_MOST_S} seconds, got {found}")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(name)
