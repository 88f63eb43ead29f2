"""sys/leases and its older names sys/renew and sys/revoke."""

from __future__ import annotations

from keystore.access import field
from keystore.engines.request import RequestError
from keystore.service import leases
from keystore.service.call import Call
from keystore.service.identity import revoke as revoke_token
from keystore.service.message import Response


def _identifier(call: Call, rest: str) -> str:
    found = rest or field.text(call.data, "lease_id")
    if not found:
        raise RequestError("lease_id must be specified")
    return found


def lookup(call: Call, rest: str) -> Response:
    """Tell of a lease."""
    found = leases.read(call.view, _identifier(call, rest))
    if found is None:
        raise RequestError("invalid lease")
    return Response(data=found.described(call.now))


def names(call: Call, rest: str) -> Response:
    """List the leases below a prefix."""
    found = call.view.names(leases.BY_ID + (f"{rest}/" if rest else ""))
    if not found:
        raise RequestError("", status=404)
    return Response(data={"keys": found})


def renew(call: Call, rest: str) -> Response:
    """Give a lease more time."""
    increment = field.seconds(call.data, "increment")
    found = leases.renew(call.view, _identifier(call, rest), increment, call.now)
    call.core.open.expiry.lease(found.expires, found.id)
    return Response(lease_id=found.id, lease_s=found.expires - call.now, renewable=found.renewable)


def revoke(call: Call, rest: str) -> Response:
    """Take back what a lease lent."""
    leases.revoke(call.view, _identifier(call, rest), call.moment)
    return Response()


def revoke_prefix(call: Call, rest: str) -> Response:
    """Take back all leases below a prefix, and the tokens that a login below it gave."""
    prefix = (rest or field.text(call.data, "prefix")).strip("/") + "/"
    for identifier in leases.below(call.view, prefix):
        leases.revoke(call.view, identifier, call.moment)
    for identifier in leases.tokens_below(call.view, prefix) if prefix.startswith("auth/") else ():
        revoke_token(call, identifier)
    return Response()


def count(call: Call, _rest: str) -> Response:
    """Tell how many leases there are."""
    return Response(data={"lease_count": len(leases.below(call.view, ""))})
