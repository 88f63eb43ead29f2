"""sys/tools: random bytes and hashes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Callable, Mapping

from keystore import sm3
from keystore.access import field
from keystore.engines.request import RequestError
from keystore.service.call import Call
from keystore.service.message import Response

_RANDOM_MOST = 131_072
_HASHES: Mapping[str, Callable[[bytes], bytes]] = {
    "sha2-224": lambda data: hashlib.sha224(data).digest(),
    "sha2-256": lambda data: hashlib.sha256(data).digest(),
    "sha2-384": lambda data: hashlib.sha384(data).digest(),
    "sha2-512": lambda data: hashlib.sha512(data).digest(),
    "sha3-224": lambda data: hashlib.sha3_224(data).digest(),
    "sha3-256": lambda data: hashlib.sha3_256(data).digest(),
    "sha3-384": lambda data: hashlib.sha3_384(data).digest(),
    "sha3-512": lambda data: hashlib.sha3_512(data).digest(),
    "sm3": sm3.sm3,
}


def random(call: Call, rest: str) -> Response:
    """Answer random bytes."""
    words = [word for word in rest.split("/") if word]
    count = next((int(word) for word in words if word.isdecimal() and len(word) < 8), 0)
    count = count or field.whole(call.data, "bytes", 32)
    if not 0 < count <= _RANDOM_MOST:
        raise RequestError(f'"bytes" should be between 1 and {_RANDOM_MOST}')
    return Response(data={"random_bytes": _formed(secrets.token_bytes(count), call, "base64")})


def hash_input(call: Call, rest: str) -> Response:
    """Answer the hash of what was sent."""
    name = rest or field.text(call.data, "algorithm", "sha2-256")
    if name not in _HASHES:
        raise RequestError(f"unsupported algorithm {name}")
    try:
        data = base64.b64decode(field.text(call.data, "input"), validate=True)
    except (binascii.Error, ValueError):
        raise RequestError("unable to decode input as base64") from None
    return Response(data={"sum": _formed(_HASHES[name](data), call, "hex")})


def _formed(data: bytes, call: Call, default: str) -> str:
    form = field.text(call.data, "format", default)
    if form not in ("hex", "base64"):
        raise RequestError(f'unsupported encoding format {form}; must be "hex" or "base64"')
    return data.hex() if form == "hex" else base64.b64encode(data).decode()
