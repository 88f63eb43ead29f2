"""sys/loggers: how much the service writes into its own log."""

from __future__ import annotations

from keystore.access import field
from keystore.engines.request import Operation
from keystore.service.call import Call
from keystore.service.log import USUAL
from keystore.service.message import Response


def _read(call: Call, rest: str) -> Response:
    """Tell the level of every part of the log, or of one; what is no part has none."""
    found = call.core.log.levels
    return Response(data={name: level for name, level in found.items() if rest in ("", name)})


def _write(call: Call, rest: str) -> Response:
    """Change the level of every part of the log, or of one."""
    call.core.log.set(rest, field.text(call.data, "level"))
    return Response()


def _revert(call: Call, rest: str) -> Response:
    """Go back to what is usual."""
    call.core.log.set(rest, USUAL)
    return Response()


HANDLERS = {Operation.READ: _read, Operation.UPDATE: _write, Operation.DELETE: _revert}
