"""sys/policy, sys/policies/acl and sys/capabilities."""

from __future__ import annotations

import base64
import binascii

from keystore.access import field, policy
from keystore.access.acl import ROOT, Acl
from keystore.access.readymade import DEFAULT, PREFIX
from keystore.access.token import Token
from keystore.engines.request import RequestError
from keystore.errors import KeystoreError
from keystore.service.call import Call
from keystore.service.identity import acl_of, checked_name
from keystore.service.message import Response
from keystore.service.wrapping import POLICY as WRAPPING


def names(call: Call, _rest: str) -> Response:
    """List the policies."""
    found = sorted([*call.view.names(PREFIX), ROOT])
    return Response(data={"keys": found, "policies": found})


def read(call: Call, rest: str) -> Response:
    """Show a policy."""
    name = checked_name(rest)
    text = "" if name == ROOT else _text(call, name)
    return Response(data={"name": name, "rules": text, "policy": text})


def _text(call: Call, name: str) -> str:
    found = call.view.get(PREFIX + name)
    if found is None:
        raise RequestError(f"No policy named: {name}", status=404)
    return found.decode()


def write(call: Call, rest: str) -> Response:
    """Keep a policy, once it was parsed."""
    name = checked_name(rest)
    if name in (ROOT, WRAPPING):
        raise RequestError(f"cannot update {name!r} policy")
    text = field.text(call.data, "policy") or field.text(call.data, "rules")
    if not text:
        raise RequestError("'policy' parameter not supplied or empty")
    text = decoded(text)
    try:
        policy.parse(text)
    except KeystoreError as error:
        raise RequestError(f"failed to parse policy: {error}") from None
    call.view.put(PREFIX + name, text.encode())
    return Response()


def decoded(text: str) -> str:
    """Return a policy that may have been sent in base64."""
    try:
        return base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return text


def delete(call: Call, rest: str) -> Response:
    """Forget a policy."""
    name = checked_name(rest)
    if name in (ROOT, DEFAULT, WRAPPING):
        raise RequestError(f"cannot delete {name!r} policy")
    call.view.delete(PREFIX + name)
    return Response()


def own_capabilities(call: Call, _rest: str) -> Response:
    """Tell what the caller may do on paths."""
    return _capabilities(call, call.caller)


def capabilities(call: Call, _rest: str) -> Response:
    """Tell what a token may do on paths."""
    found = call.core.open.tokens.find(call.view, field.needed(call.data, "token"), call.now)
    return _capabilities(call, found)


def accessor_capabilities(call: Call, _rest: str) -> Response:
    """Tell what the token of an accessor may do on paths."""
    found = call.core.open.tokens.by_accessor(call.view, field.needed(call.data, "accessor"), call.now)
    return _capabilities(call, found)


def _capabilities(call: Call, token: Token | None) -> Response:
    if token is None:
        raise RequestError("invalid token")
    paths = field.strings(call.data, "paths") or field.strings(call.data, "path")
    if not paths:
        raise RequestError("missing paths")
    acl: Acl = acl_of(call.view, token)
    found = {path: acl.capabilities(path.removeprefix("/")) for path in paths}
    return Response(data=found | ({"capabilities": found[paths[0]]} if len(paths) == 1 else {}))


def resultant(call: Call, _rest: str) -> Response:
    """Tell a user interface everything that the caller may do."""
    assert call.acl is not None
    return Response(data=call.acl.described())
