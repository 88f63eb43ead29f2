"""sys/in-flight-req and sys/host-info: what the service does now, and on what it runs."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any

from keystore.service import hostinfo
from keystore.service.call import Call
from keystore.service.core import Core
from keystore.service.message import Response
from keystore.service.traffic import Flight


def in_flight(call: Call, _rest: str) -> Response:
    """Tell which requests are on their way."""
    core = call.core
    return Response(plain={flight.id: _flown(core, flight) for flight in core.traffic.flights() if flight.id})


def _flown(core: Core, flight: Flight) -> dict[str, Any]:
    return {
        "start_time": _precise(flight.started),
        "client_remote_address": flight.inbound.remote,
        "request_path": flight.path,
        "request_method": flight.inbound.method,
        "client_id": _client(core, flight),
    }


def _client(core: Core, flight: Flight) -> str:
    """Return who asks: the entity of a login, else a hash of the token's policies, as Vault has it."""
    token = flight.token
    if token is None:
        return ""
    return token.entity or base64.b64encode(core.open.store.mac("client", "\0".join(token.policies).encode())).decode()


def host(call: Call, _rest: str) -> Response:
    """Tell of the host: processors, memory, disks, uptime. What cannot be read is null and said in a warning."""
    found, warnings = hostinfo.gather(call.core.directory)
    return Response(data={**found, "timestamp": _precise(call.moment)}, warnings=warnings)


def _precise(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
