"""sys/rekey: new shares for people to hold; where it is asked for, they count once enough of them were shown."""

from __future__ import annotations

from typing import Any

from keystore.access import field
from keystore.barrier import cipher, sealing
from keystore.barrier.sealing import Seal
from keystore.engines.request import RequestError
from keystore.errors import UnsealError
from keystore.service.call import Call
from keystore.service.core import Core, Rekey
from keystore.service.message import Response
from keystore.service.system.keys import begun, entered
from keystore.service.system.sealing import share_of, shown_shares

_NO_REKEY = "no rekey in progress"
_VERIFY = "rekey-verify"


def status(call: Call, _rest: str) -> Response:
    """Tell how far a rekey is."""
    return Response(plain=_told(call.core))


def _told(core: Core) -> dict[str, Any]:
    rekey, seal = core.rekey, core.seal
    found = {
        "started": rekey is not None,
        "nonce": rekey.progress.nonce if rekey else "",
        "t": rekey.threshold if rekey else 0,
        "n": rekey.shares if rekey else 0,
        "progress": len(rekey.progress.shares) if rekey else 0,
        "required": seal.threshold,
        **_usual(rekey),
    }
    return found | ({"verification_nonce": rekey.verifying.nonce} if rekey and rekey.pending else {})


def _usual(rekey: Rekey | None) -> dict[str, Any]:
    return {
        "pgp_fingerprints": None,
        "backup": False,
        "verification_required": rekey is not None and rekey.verified,
    }


def start(call: Call, _rest: str) -> Response:
    """Begin a rekey."""
    core = call.core
    _ = core.open
    if core.rekey is not None:
        raise RequestError("rekey already in progress")
    for name in ("pgp_keys", "backup"):
        if call.data.get(name):
            raise RequestError(f"{name} is not supported")
    shares = field.whole(call.data, "secret_shares", most=255)
    threshold = field.whole(call.data, "secret_threshold", most=255)
    sealing.check_shares(shares, threshold)
    core.rekey = Rekey(shares, threshold, begun(), verified=field.flag(call.data, "require_verification"))
    return Response(plain=_told(core))


def cancel(call: Call, _rest: str) -> Response:
    """Forget a rekey, also one whose new shares are out already: those so far stay in force."""
    call.core.rekey = None
    return Response()


def update(call: Call, _rest: str) -> Response:
    """Take one share of the old unseal key; with the last, make the new one."""
    core = call.core
    opened, rekey = core.open, core.rekey
    if rekey is None:
        raise RequestError(_NO_REKEY)
    if rekey.pending is not None:
        raise RequestError(
            "rekey operation already finished; verification must be performed;"
            f' nonce for the verification operation is "{rekey.verifying.nonce}"'
        )
    parts = entered(call, rekey.progress, "rekey")
    if parts is None:
        return Response(plain=_told(core))
    core.rekey = None
    cipher.wipe(core.open_root(parts, "rekey"))
    seal, made = core.seal.rekeyed(opened.root_key, rekey.shares, rekey.threshold)
    told = {"nonce": rekey.progress.nonce, "complete": True, **shown_shares(made), **_usual(rekey)}
    if rekey.verified:
        return Response(plain={**told, "verification_nonce": _await(core, rekey, seal)})
    core.replace_seal(seal)
    return Response(plain=told)


def _await(core: Core, rekey: Rekey, seal: Seal) -> str:
    """Hold the new seal back in memory until its shares were shown; return the name of that attempt."""
    rekey.pending = seal
    rekey.verifying.begin()
    core.rekey = rekey
    return rekey.verifying.nonce


def verify_status(call: Call, _rest: str) -> Response:
    """Tell how many of the new shares were shown."""
    return Response(plain=_verify_told(_configured(call)))


def _configured(call: Call) -> Rekey:
    _ = call.core.open
    if call.core.rekey is None:
        raise RequestError("no rekey configuration found")
    return call.core.rekey


def _verify_told(rekey: Rekey) -> dict[str, Any]:
    return {
        "nonce": rekey.verifying.nonce,
        "started": rekey.pending is not None,
        "t": rekey.threshold,
        "n": rekey.shares,
        "progress": len(rekey.verifying.shares),
    }


def verify_restart(call: Call, _rest: str) -> Response:
    """Forget the new shares that were shown so far; they are still the ones to show."""
    rekey = _configured(call)
    _restart(rekey)
    return Response(plain=_verify_told(rekey))


def _restart(rekey: Rekey) -> None:
    rekey.verifying.reset()
    rekey.verifying.begin()


def verify(call: Call, _rest: str) -> Response:
    """Take one of the new shares; with the last that is needed, put the new seal in force."""
    core = call.core
    _ = core.open
    text = field.text(call.data, "key")
    if not text:
        raise RequestError("'key' must be specified in request body as JSON")
    share, rekey = share_of(text), core.rekey
    if rekey is None:
        raise RequestError(_NO_REKEY)
    if rekey.pending is None:
        raise RequestError("no rekey verification in progress")
    core.backoff.check(_VERIFY)
    _take(call, rekey, share)
    if len(rekey.verifying.shares) < rekey.threshold:
        return Response(plain=_verify_told(rekey))
    nonce = rekey.verifying.nonce
    _settle(core, rekey, rekey.pending)
    return Response(plain={"nonce": nonce, "complete": True})


def _take(call: Call, rekey: Rekey, share: bytes) -> None:
    nonce = rekey.verifying.nonce
    if field.text(call.data, "nonce") != nonce:
        raise RequestError(f'incorrect nonce supplied; nonce for this verify operation is "{nonce}"')
    if share in rekey.verifying.shares:
        raise RequestError("given key has already been provided during this verify operation")
    rekey.verifying.add(share)


def _settle(core: Core, rekey: Rekey, pending: Seal) -> None:
    """Keep the new seal, if the shares that were shown open it; the keyring may be another one by now."""
    parts = rekey.verifying.shares
    _restart(rekey)
    try:
        cipher.wipe(core.open_root(parts, _VERIFY, pending))
    except UnsealError:
        raise RequestError("rekey verification failed; incorrect key shares supplied") from None
    core.replace_seal(core.seal.held_as(pending))
    core.rekey = None
