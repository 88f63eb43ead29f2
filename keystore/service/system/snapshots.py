"""sys/storage/raft/snapshot: the names that clients know, though there is no Raft here."""

from __future__ import annotations

from keystore.barrier import snapshot
from keystore.engines.request import Raw
from keystore.service.call import Call
from keystore.service.message import Response


def take(call: Call, _rest: str) -> Response:
    """Answer a copy of the store, which is ciphertext."""
    _ = call.core.open
    data = snapshot.take(call.core.database)
    return Response(raw=Raw(body=data, media_type="application/octet-stream"))


def restore(call: Call, _rest: str) -> Response:
    """Put the store back as a snapshot of it has it, unless that is older."""
    return _restore(call, force=False)


def force(call: Call, _rest: str) -> Response:
    """Put the store back as any snapshot has it."""
    return _restore(call, force=True)


def _restore(call: Call, *, force: bool) -> Response:
    call.view.drop()
    call.last_use = False
    call.core.restore(call.inbound.body, force=force)
    return Response()
