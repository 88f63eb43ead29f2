"""sys/quotas/rate-limit."""

from __future__ import annotations

from keystore.access import field
from keystore.engines.request import RequestError
from keystore.service import mounts, quotas
from keystore.service.call import Call
from keystore.service.message import Response
from keystore.service.quotas import Quota

_RATE_MOST = 1_000_000_000


def names(call: Call, _rest: str) -> Response:
    """List the quotas."""
    found = sorted(quotas.read(call.view))
    if not found:
        raise RequestError("", status=404)
    return Response(data={"keys": found})


def read(call: Call, rest: str) -> Response:
    """Show a quota."""
    found = quotas.read(call.view).get(rest)
    if found is None:
        raise RequestError("", status=404)
    return Response(data=found.described())


def write(call: Call, rest: str) -> Response:
    """Make or change a quota."""
    if not rest or "/" in rest:
        raise RequestError("missing quota name")
    table = quotas.read(call.view)
    if field.text(call.data, "type", "rate-limit") != "rate-limit" or call.data.get("role"):
        raise RequestError("expected a quota of the type 'rate-limit' without a role, got another")
    before = table.get(rest)
    made = Quota(
        name=rest,
        path=_path(call, before),
        rate_milli=_rate(call, before),
        interval_s=field.seconds(call.data, "interval", before.interval_s if before else 1) or 1,
        block_s=field.seconds(call.data, "block_interval", before.block_s if before else 0),
    )
    for one in table.values():
        if one.path == made.path and one.name != made.name:
            raise RequestError(f'quota rule with similar properties exists under the name "{one.name}"')
    quotas.write(call.view, {**table, rest: made})
    return Response()


def delete(call: Call, rest: str) -> Response:
    """Forget a quota."""
    quotas.write(call.view, {name: one for name, one in quotas.read(call.view).items() if name != rest})
    return Response()


def _path(call: Call, before: Quota | None) -> str:
    found = field.text(call.data, "path", before.path if before else "").removeprefix("/")
    if found and mounts.find(call.view, found.rstrip("*/")) is None:
        raise RequestError(f"invalid mount {found!r}")
    return found


def _rate(call: Call, before: Quota | None) -> int:
    asked = call.data.get("rate")
    if asked is None and before is not None:
        return before.rate_milli
    try:
        found = round(float(asked) * 1000) if isinstance(asked, (int, float, str)) else 0
    except (ValueError, OverflowError):
        found = 0
    if not 0 < found <= _RATE_MOST:
        raise RequestError(f"rate: expected a number from 0.001 to {_RATE_MOST // 1000}")
    return found
