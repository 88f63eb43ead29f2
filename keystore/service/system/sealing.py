"""sys/init, seal-status, unseal, seal, health, leader."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from keystore.access import field
from keystore.engines.request import RequestError
from keystore.service.call import Call
from keystore.service.core import STORAGE, VERSION, Core
from keystore.service.message import Response


def init_status(call: Call, _rest: str) -> Response:
    """Tell whether the store was made."""
    return Response(plain={"initialized": call.core.initialised})


def init(call: Call, _rest: str) -> Response:
    """Make the store."""
    shares = field.whole(call.data, "secret_shares", 0, most=255)
    threshold = field.whole(call.data, "secret_threshold", 0, most=255)
    for name in ("pgp_keys", "root_token_pgp_key", "recovery_shares", "recovery_threshold", "stored_shares"):
        if call.data.get(name):
            raise RequestError(f"{name} is not supported")
    parts, token = call.core.initialise(shares, threshold)
    return Response(plain={**shown_shares(parts), "root_token": token})


def shown_shares(parts: list[bytes]) -> dict[str, Any]:
    """Return shares in both forms that clients know."""
    return {
        "keys": [part.hex() for part in parts],
        "keys_base64": [base64.b64encode(part).decode() for part in parts],
    }


def share_of(text: str) -> bytes:
    """Return a share that was entered in hexadecimal or base64.

    Raises: RequestError.
    """
    try:
        return bytes.fromhex(text)
    except ValueError:
        pass
    try:
        found = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if not found:
        raise RequestError("'key' must be a valid hex or base64 string")
    return found


def status(core: Core) -> dict[str, Any]:
    """Return what seal-status and unseal answer."""
    seal = core.seal_document
    found: dict[str, Any] = {
        "type": "shamir",
        "initialized": seal is not None,
        "sealed": core.unsealed is None,
        "t": seal.threshold if seal else 0,
        "n": seal.shares if seal else 0,
        "progress": len(core.progress.shares),
        "nonce": core.progress.nonce,
        "version": VERSION,
        "build_date": "",
        "migration": False,
        "recovery_seal": False,
        "storage_type": STORAGE,
    }
    if seal is not None and core.unsealed is not None:
        found |= {"cluster_name": seal.name, "cluster_id": seal.store}
    return found


def seal_status(call: Call, _rest: str) -> Response:
    """Tell how the seal is."""
    return Response(plain=status(call.core))


def unseal(call: Call, _rest: str) -> Response:
    """Take one share of the unseal key, or forget those so far; or take the passphrase of who keeps the root key."""
    core = call.core
    if not core.initialised:
        raise RequestError("server is not yet initialized")
    if field.flag(call.data, "reset"):
        core.progress.reset()
        return Response(plain=status(core))
    if passphrase := field.text(call.data, "passphrase"):
        core.enter_passphrase(passphrase)
        return Response(plain=status(core))
    text = field.text(call.data, "key")
    if not text:
        raise RequestError("'key' must be specified in request body as JSON, or 'reset' set to true")
    core.enter_share(share_of(text))
    return Response(plain=status(core))


def seal(call: Call, _rest: str) -> Response:
    """Seal, once the answer is on its way."""
    call.core.seal_soon = True
    return Response()


def health(call: Call, _rest: str) -> Response:
    """Tell how the service is, by the status code too."""
    core = call.core
    wanted = {"activecode": 200, "sealedcode": 503, "uninitcode": 501}
    state = "uninitcode" if not core.initialised else "sealedcode" if core.unsealed is None else "activecode"
    code = field.whole(call.inbound.query, state, wanted[state], most=599)
    found: dict[str, Any] = {
        "initialized": core.initialised,
        "sealed": core.unsealed is None,
        "standby": False,
        "performance_standby": False,
        "replication_performance_mode": "disabled",
        "replication_dr_mode": "disabled",
        "server_time_utc": call.now,
        "version": VERSION,
        "enterprise": False,
        "echo_duration_ms": 0,
        "clock_skew_ms": 0,
    }
    if core.seal_document is not None and core.unsealed is not None:
        found |= {"cluster_name": core.seal_document.name, "cluster_id": core.seal_document.store}
    return Response(status=code if 200 <= code < 600 else 500, plain=found)


def leader(_call: Call, _rest: str) -> Response:
    """Tell that there is one host alone."""
    return Response(
        plain={
            "ha_enabled": False,
            "is_self": False,
            "active_time": "0001-01-01T00:00:00Z",
            "leader_address": "",
            "leader_cluster_address": "",
            "performance_standby": False,
            "performance_standby_last_remote_wal": 0,
        }
    )
