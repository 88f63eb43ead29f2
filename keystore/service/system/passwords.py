"""sys/policies/password: how passwords are made, and passwords made so."""

from __future__ import annotations

from keystore.access import field, password
from keystore.access.password import PasswordPolicy
from keystore.engines.request import Operation, RequestError
from keystore.errors import KeystoreError
from keystore.service.call import Call
from keystore.service.message import Response
from keystore.service.system.policies import decoded

PREFIX = "password-policy/"
_GENERATE = "/generate"


def names(call: Call, _rest: str) -> Response:
    """List the password policies."""
    found = call.view.names(PREFIX)
    if not found:
        raise RequestError("", status=404)
    return Response(data={"keys": found})


def read(call: Call, rest: str) -> Response:
    """Show a password policy, or make a password by it."""
    if rest.endswith(_GENERATE):
        return Response(data={"password": _policy(call, rest.removesuffix(_GENERATE)).generate()})
    return Response(data={"policy": _text(call, rest)})


def _text(call: Call, name: str) -> str:
    found = call.view.get(PREFIX + _checked(name))
    if found is None:
        raise RequestError("policy does not exist", status=404)
    return found.decode()


def _policy(call: Call, name: str) -> PasswordPolicy:
    return password.parse(_text(call, name))


def _checked(name: str) -> str:
    if not name or "/" in name:
        raise RequestError(f"expected the name of a password policy, got {name!r}")
    return name


def write(call: Call, rest: str) -> Response:
    """Keep a password policy, once passwords were made by it."""
    name = _checked(rest)
    if field.text(call.data, "entropy_source", "platform") != "platform":
        raise RequestError("entropy_source: expected 'platform', got another")
    text = decoded(field.text(call.data, "policy"))
    if not text:
        raise RequestError("missing policy")
    try:
        password.parse(text).check()
    except KeystoreError as error:
        raise RequestError(f"invalid password policy: {error}") from None
    call.view.put(PREFIX + name, text.encode())
    return Response()


def delete(call: Call, rest: str) -> Response:
    """Forget a password policy."""
    call.view.delete(PREFIX + _checked(rest))
    return Response()


ROUTES = {Operation.READ: read, Operation.UPDATE: write, Operation.DELETE: delete}
