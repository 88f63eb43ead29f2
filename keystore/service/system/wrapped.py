"""sys/wrapping: wrap anything, look at, renew and open what is wrapped."""

from __future__ import annotations

from keystore.access import field
from keystore.access.token import Token
from keystore.engines.request import RequestError
from keystore.service import identity, wrapping
from keystore.service.call import Call
from keystore.service.message import Response


def wrap(call: Call, _rest: str) -> Response:
    """Answer what was sent; the header that every request may have wraps it."""
    if not call.wrap_s:
        raise RequestError("endpoint requires response wrapping to be used")
    return Response(data=dict(call.data))


def _shown(call: Call) -> tuple[Token, bool]:
    """Return the wrapping token of a request, and whether it is the caller's own."""
    secret = field.text(call.data, "token")
    own = not secret or secret == call.inbound.token
    return wrapping.find(call.view, call.core.open.tokens, secret or call.inbound.token, call.now), own


def lookup(call: Call, _rest: str) -> Response:
    """Tell when and where a response was wrapped; the token stays good."""
    token, _own = _shown(call)
    return Response(data=wrapping.lookup(wrapping.info(call.view, token)))


def unwrap(call: Call, _rest: str) -> Response:
    """Answer what was wrapped; the token is used up."""
    token, own = _shown(call)
    found = wrapping.response(call.view, token)
    if not own:
        identity.revoke(call, token.id)
    return Response(plain={**found, "request_id": call.id})


def rewrap(call: Call, _rest: str) -> Response:
    """Wrap what is wrapped anew, for as long as before."""
    token, own = _shown(call)
    info = wrapping.info(call.view, token)
    found = wrapping.response(call.view, token)
    made = wrapping.wrap(
        call.view,
        call.core.open.tokens,
        found,
        path=info["creation_path"],
        ttl_s=info["creation_ttl"],
        now=call.now,
    )
    if not own:
        identity.revoke(call, token.id)
    return Response(wrap_info=made)
