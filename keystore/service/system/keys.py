"""sys/generate-root, key-status, rotate: change the key that seals, and make a root token by shares."""

from __future__ import annotations

import base64
from typing import Any

from keystore import moment
from keystore.access import field
from keystore.access.token import PREFIX
from keystore.barrier import cipher
from keystore.engines.request import RequestError
from keystore.service.call import Call
from keystore.service.core import Core, Progress, RootToken, new_otp, root_token
from keystore.service.message import Response
from keystore.service.system.sealing import share_of

_NO_ROOT = "no root generation in progress"
_BAD_NONCE = "incorrect nonce supplied"
_OTP_CHARACTERS = 28


def key_status(call: Call, _rest: str) -> Response:
    """Tell which term seals, and since when."""
    term = call.core.open.store.keyring.active
    found = {"term": term.number, "install_time": moment.stamp(term.created), "encryptions": term.written}
    return Response(data=found)


def rotate(call: Call, _rest: str) -> Response:
    """Begin a new term; what is there stays under its own."""
    call.core.rotate()
    return Response()


def root_status(call: Call, _rest: str) -> Response:
    """Tell how far the making of a root token is."""
    return Response(plain=_root_told(call.core))


def _root_told(core: Core) -> dict[str, Any]:
    found = core.root_token
    return {
        "started": found is not None,
        "nonce": found.progress.nonce if found else "",
        "progress": len(found.progress.shares) if found else 0,
        "required": core.seal.threshold,
        "complete": False,
        "encoded_token": "",
        "encoded_root_token": "",
        "pgp_fingerprint": "",
        "otp_length": _OTP_CHARACTERS,
        "otp": "",
    }


def root_start(call: Call, _rest: str) -> Response:
    """Begin to make a root token; it will be masked with a one-time password."""
    core = call.core
    _ = core.open
    if core.root_token is not None:
        raise RequestError("root generation already in progress")
    if call.data.get("pgp_key"):
        raise RequestError("pgp_key is not supported: use an otp")
    given = field.text(call.data, "otp")
    if given and len(given) != _OTP_CHARACTERS:
        raise RequestError(f"otp: expected {_OTP_CHARACTERS} characters, got {len(given)}")
    otp = given or new_otp(_OTP_CHARACTERS)
    core.root_token = RootToken(_OTP_CHARACTERS, begun(), otp.encode())
    return Response(plain={**_root_told(core), "otp": "" if given else otp})


def root_cancel(call: Call, _rest: str) -> Response:
    """Forget it."""
    call.core.root_token = None
    return Response()


def root_update(call: Call, _rest: str) -> Response:
    """Take one share of the unseal key; with the last, make the token."""
    core = call.core
    opened, attempt = core.open, core.root_token
    if attempt is None:
        raise RequestError(_NO_ROOT)
    parts = entered(call, attempt.progress, "generate-root")
    if parts is None:
        return Response(plain=_root_told(core))
    core.root_token = None
    cipher.wipe(core.open_root(parts, "generate-root"))
    secret = PREFIX + new_otp(_OTP_CHARACTERS - len(PREFIX))
    opened.tokens.make(call.view, root_token(call.now), secret)
    masked = bytes(a ^ b for a, b in zip(secret.encode(), attempt.otp, strict=True))
    encoded = base64.b64encode(masked).decode().rstrip("=")
    told = {**_root_told(core), "started": True, "nonce": attempt.progress.nonce, "progress": core.seal.threshold}
    return Response(plain={**told, "complete": True, "encoded_token": encoded, "encoded_root_token": encoded})


def entered(call: Call, progress: Progress, what: str) -> list[bytes] | None:
    """Take the share of a request; return all, once they are enough, else None."""
    call.core.backoff.check(what)
    if field.text(call.data, "nonce") != progress.nonce:
        raise RequestError(_BAD_NONCE)
    progress.add(share_of(field.needed(call.data, "key")))
    if len(progress.shares) < call.core.seal.threshold:
        return None
    parts, progress.shares = progress.shares, []
    return parts


def begun() -> Progress:
    """Return an attempt without a share."""
    found = Progress()
    found.begin()
    return found
