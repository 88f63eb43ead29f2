"""Handlers that need no key: random bytes and hashes."""

from __future__ import annotations

import re
import secrets

from keystore.engines.body import Body, encode_base64
from keystore.engines.request import Answer, RequestError
from keystore.engines.routes import Call
from keystore.engines.transit import digests

_DEFAULT_BYTES = 32
_LIMIT_BYTES = 128 * 1024
_SOURCES = ("platform", "seal", "all")


def random(call: Call) -> Answer:
    """Give random bytes of the operating system, whichever source is named."""
    size = _size(call)
    form = call.body.text("format", "base64")
    if form not in ("hex", "base64"):
        raise RequestError(f'unsupported encoding format "{form}"; must be "hex" or "base64"')
    if size < 1:
        raise RequestError("'bytes' cannot be less than 1")
    if size > _LIMIT_BYTES:
        raise RequestError(f"'bytes' should be less than {_LIMIT_BYTES}")
    made = secrets.token_bytes(size)
    return Answer(data={"random_bytes": made.hex() if form == "hex" else encode_base64(made)})


def hash_input(call: Call) -> Answer:
    """Give the digest of the input."""
    name = call.parts.get("algorithm") or call.body.text("algorithm") or digests.DEFAULT
    form = call.body.text("format", "hex")
    if not call.body.has("input"):
        raise RequestError("input missing")
    message = _message(call.body)
    algorithm = digests.named(name, f"unsupported algorithm {name}")
    if form not in ("hex", "base64"):
        raise RequestError(f'unsupported encoding format {form}; must be "hex" or "base64"')
    made = digests.digest(algorithm, message)
    return Answer(data={"sum": made.hex() if form == "hex" else encode_base64(made)})


def _size(call: Call) -> int:
    parts = [call.parts[name] for name in ("first", "second") if name in call.parts]
    if parts and parts[0] in _SOURCES:
        parts.pop(0)
    if not parts:
        return call.body.number("bytes", _DEFAULT_BYTES)
    if len(parts) > 1 or not re.fullmatch(r"-?[0-9]{1,9}", parts[0]):
        raise RequestError(f'error parsing url-set byte count: "{parts[0]}" is no number')
    return int(parts[0])


def _message(body: Body) -> bytes:
    try:
        return body.octets("input")
    except RequestError as error:
        raise RequestError(f"unable to decode input as base64: {error.message}") from None
