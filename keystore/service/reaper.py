"""Take back what has ended: tokens with all that came from them, and leases."""

from __future__ import annotations

import uuid

from keystore import document
from keystore.access.token import BY_ID, Token
from keystore.engines.request import Operation
from keystore.errors import KeystoreError
from keystore.service import identity, leases
from keystore.service.call import Call
from keystore.service.core import Core
from keystore.service.message import Inbound

_AGAIN_S = 60


def reap(core: Core) -> list[str]:
    """Take back what is due; return what could not be, which is tried again later."""
    failures = []
    now = int(core.clock())
    for kind, identifier in core.open.expiry.due(now):
        try:
            (_reap_token if kind == "token" else _reap_lease)(core, identifier, now)
        except KeystoreError as error:
            failures.append(f"a {kind} that ended could not be taken back: {error}")
            again = core.open.expiry.token if kind == "token" else core.open.expiry.lease
            again(now + _AGAIN_S, identifier)
    return failures


def _reap_token(core: Core, identifier: str, now: int) -> None:
    call = _call(core)
    data = call.view.get(BY_ID + identifier)
    if data is None:
        return
    expires = Token.parse(identifier, data).expires
    if not expires or expires > now:
        return
    identity.revoke(call, identifier)
    call.view.finish(_ignore)


def _reap_lease(core: Core, identifier: str, now: int) -> None:
    call = _call(core)
    data = call.view.get(leases.BY_ID + identifier)
    if data is None or document.parse(data, "lease")["expires"] > now:
        return
    leases.revoke(call.view, identifier, call.moment)
    call.view.finish(_ignore)


def _call(core: Core) -> Call:
    return Call(
        core=core,
        inbound=Inbound(method="DELETE", path="sys/expire"),
        id=str(uuid.uuid4()),
        moment=core.now(),
        operation=Operation.DELETE,
        path="sys/expire",
        data={},
    )


def _ignore(_error: KeystoreError | None) -> None:
    """A failure here is met again at the next unseal: the record is still there."""
