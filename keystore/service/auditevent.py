"""What an audit device writes of a request and of its response: who, what, from where, with every secret hashed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from keystore.access.token import Token
from keystore.engines.request import RequestError
from keystore.service import mounts
from keystore.service.auditing import Device
from keystore.service.call import Call
from keystore.service.message import Response

_CLEAR_AUTH = frozenset(
    (
        "policies",
        "token_policies",
        "identity_policies",
        "metadata",
        "lease_duration",
        "renewable",
        "entity_id",
        "token_type",
        "orphan",
        "num_uses",
        "mfa_requirement",
    )
)
_CLEAR_WRAP = frozenset(("ttl", "creation_time", "creation_path"))


def request(call: Call, refusal: str = "") -> None:
    """Write a request, before anything of it is done.

    Raises: RequestError of status 500 when no device can.
    """
    if call.core.auditing.devices:
        _write(call, "request", lambda device: _event("request", call, device, refusal), call.moment)


def response(call: Call, answer: Response) -> None:
    """Write a response, before it leaves.

    Raises: RequestError of status 500 when no device can.
    """
    if call.core.auditing.devices:
        _write(call, "response", lambda device: _responded(call, device, answer), call.core.now())


def _write(call: Call, kind: str, build: Callable[[Device], Mapping[str, Any]], now: datetime) -> None:
    traffic = call.core.traffic
    began = time.perf_counter()
    try:
        call.core.auditing.write(build, now)
    except RequestError:
        traffic.unaudited[kind] += 1
        raise
    finally:
        traffic.audited[kind].observe((time.perf_counter() - began) * 1000)


def _event(kind: str, call: Call, device: Device, refusal: str) -> dict[str, Any]:
    found: dict[str, Any] = {"kind": kind, "request": _request(call, device)}
    if call.token is not None:
        found["auth"] = _caller(call.token, device)
    if refusal:
        found["error"] = refusal
    return found


def _request(call: Call, device: Device) -> dict[str, Any]:
    found: dict[str, Any] = {
        "id": call.id,
        "operation": call.operation.value,
        "path": device.without_tokens(call.path),
        "remote_address": call.inbound.remote,
    }
    if call.data:
        found["data"] = device.masked(call.data, _clear(call, "audit_non_hmac_request_keys"))
    if call.inbound.token:
        found["client_token"] = device.hash_caller(call.inbound.token)
    if call.token is not None:
        found["client_token_accessor"] = device.hash_caller(call.token.accessor)
    if call.wrap_s:
        found["wrap_ttl"] = call.wrap_s
    return found


def _caller(token: Token, device: Device) -> dict[str, Any]:
    return {
        "accessor": device.hash_caller(token.accessor),
        "display_name": token.display_name,
        "entity_id": token.entity,
        "policies": list(token.policies),
        "metadata": dict(token.meta or {}),
    }


def _responded(call: Call, device: Device, answer: Response) -> dict[str, Any]:
    refusal = "; ".join(answer.errors or ()) if answer.errors is not None else ""
    found = _event("response", call, device, refusal)
    told: dict[str, Any] = {}
    if answer.data is not None:
        told["data"] = device.masked(answer.data, _clear(call, "audit_non_hmac_response_keys"))
    if answer.auth is not None:
        told["auth"] = device.masked(answer.auth, _CLEAR_AUTH)
    if answer.wrap_info is not None:
        told["wrap_info"] = device.masked(answer.wrap_info, _CLEAR_WRAP)
    if answer.plain is not None:
        told["data"] = device.masked(answer.plain)
    if answer.lease_id:
        told["lease_id"] = answer.lease_id
    if answer.raw is not None:
        told["raw_bytes"] = len(answer.raw.body)
    # The request's own data stands in the line of the request, under the same id.
    slim = {name: value for name, value in found["request"].items() if name != "data"}
    return {**found, "request": slim, "response": told}


def _clear(call: Call, name: str) -> frozenset[str]:
    """Return the keys that the mount has allowed to stand in clear."""
    if call.core.unsealed is None:
        return frozenset()
    mount = mounts.find(call.view, call.path)
    keys: Mapping[str, Any] = mount.config if mount else {}
    return frozenset(keys.get(name, ()))
