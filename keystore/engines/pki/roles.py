"""Handlers of roles, and where they are kept."""

from __future__ import annotations

import re

from keystore.engines.pki import keys, role
from keystore.engines.pki.role import Role
from keystore.engines.request import Answer, Records, RequestError
from keystore.engines.routes import Call

_FOLDER = "roles/"
_NAME = re.compile(r"\w([\w.-]*\w)?", re.ASCII)


def require(call: Call) -> Role:
    """Return the role that the path names.

    Raises: RequestError.
    """
    found = _find(call.records, call.parts["role"])
    if found is None:
        raise RequestError(f"unknown role: {call.parts['role']}")
    return found


def write(call: Call, default_kind: str) -> Answer:
    """Make a role, or replace one whole; it issues keys of the mount's default kind unless it names another."""
    if not _NAME.fullmatch(call.parts["role"]):
        raise RequestError("unsupported path", status=404)
    kind = keys.choose("", default_kind, call.body.number("key_bits"))
    return _save(call, role.read_role(call.body, Role(key_type=kind)))


def patch(call: Call) -> Answer:
    """Change the fields that a request names."""
    found = _find(call.records, call.parts["role"])
    if found is None:
        raise RequestError("unable to fetch role entry to patch", status=404)
    return _save(call, role.read_role(call.body, found))


def read(call: Call) -> Answer:
    """Tell a role."""
    found = _find(call.records, call.parts["role"])
    if found is None:
        raise RequestError("", status=404)
    return Answer(data=role.tell(found))


def list_names(call: Call) -> Answer:
    """List the roles by name."""
    found = call.records.names(_FOLDER)
    if not found:
        raise RequestError("", status=404)
    return Answer(data={"keys": found})


def delete(call: Call) -> Answer:
    """Forget a role, whether it is there or not."""
    call.records.delete(_FOLDER + call.parts["role"])
    return Answer()


def _save(call: Call, found: Role) -> Answer:
    call.records.put(_FOLDER + call.parts["role"], found.encode())
    return Answer(data=role.tell(found))


def _find(records: Records, name: str) -> Role | None:
    data = records.get(_FOLDER + name)
    return None if data is None else role.parse_role(data, f"role '{name}'")
