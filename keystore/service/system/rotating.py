"""sys/rotate/config: when the key that seals is changed by itself."""

from __future__ import annotations

from dataclasses import replace

from keystore.access import duration, field
from keystore.engines.request import RequestError
from keystore.service import rotation
from keystore.service.call import Call
from keystore.service.message import Response
from keystore.service.rotation import INTERVAL_LEAST_S, OPERATIONS_LEAST, OPERATIONS_MOST


def read(call: Call, _rest: str) -> Response:
    """Tell what is set."""
    found = rotation.read(call.view)
    interval = duration.shown(found.interval_s) if found.interval_s else 0
    return Response(
        data={"enabled": found.enabled, "interval": interval, "max_operations": found.max_operations},
    )


def write(call: Call, _rest: str) -> Response:
    """Change what is named."""
    before = rotation.read(call.view)
    operations = field.whole(call.data, "max_operations", before.max_operations, most=1 << 62)
    if not OPERATIONS_LEAST <= operations <= OPERATIONS_MOST:
        raise RequestError(f"max_operations must be in the range [{OPERATIONS_LEAST},{OPERATIONS_MOST}]")
    interval_s = field.seconds(call.data, "interval", before.interval_s)
    if 0 < interval_s < INTERVAL_LEAST_S:
        raise RequestError(f"interval must be greater or equal to {duration.shown(INTERVAL_LEAST_S)}")
    enabled = field.flag(call.data, "enabled", default=before.enabled)
    made = replace(before, max_operations=operations, interval_s=interval_s, enabled=enabled)
    rotation.write(call.view, made)
    return Response()
