"""sys/mounts, sys/auth, sys/remount and what user interfaces ask of mounts."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from keystore.access import field
from keystore.engines.request import RequestError
from keystore.service import engines, leases, mounts
from keystore.service.call import Call
from keystore.service.identity import acl, revoke
from keystore.service.message import Response
from keystore.service.mounts import AUTH, SECRET, Mount

_TUNE = "/tune"
_FIXED = ("sys/", "cubbyhole/", "token/")


def table_of(table: str) -> Callable[[Call, str], Response]:
    """Return what lists a table."""

    def show(call: Call, _rest: str) -> Response:
        return Response(data={path: mount.described() for path, mount in sorted(mounts.read(call.view, table).items())})

    return show


def read(table: str) -> Callable[[Call, str], Response]:
    """Return what shows one mount, or its tuning."""

    def show(call: Call, rest: str) -> Response:
        if rest.endswith(_TUNE):
            return _tuning(_mount(call, table, rest.removesuffix(_TUNE)))
        return Response(data=_mount(call, table, rest).described())

    return show


def _tuning(mount: Mount) -> Response:
    found: dict[str, Any] = mount.tuned() | {"description": mount.description}
    found["default_lease_ttl"], found["max_lease_ttl"] = mount.ttl_s, mount.max_ttl_s
    if mount.login:
        found["token_type"] = mount.token_type or "default-service"
    if mount.options:
        found["options"] = dict(mount.options)
    return Response(data=found)


def write(table: str) -> Callable[[Call, str], Response]:
    """Return what mounts, or tunes what is mounted."""

    def change(call: Call, rest: str) -> Response:
        if rest.endswith(_TUNE):
            return _tune(call, table, rest.removesuffix(_TUNE))
        return _enable(call, table, rest)

    return change


def _enable(call: Call, table: str, rest: str) -> Response:
    path = mounts.checked_path(rest, table, call.view)
    mount = mounts.make(path, call.data, login=table == AUTH)
    if not engines.known(mount.kind, login=mount.login) or mount.kind in ("cubbyhole", "token"):
        raise RequestError(f'plugin not found in the catalog: "{mount.type}"')
    engines.of_mount(mount)
    _keep(call, table, mount)
    return Response()


def _tune(call: Call, table: str, rest: str) -> Response:
    mount = mounts.tuned(_mount(call, table, rest), call.data)
    if mount.type != "system":
        engines.of_mount(mount)
    _keep(call, table, mount)
    return Response()


def disable(table: str) -> Callable[[Call, str], Response]:
    """Return what takes a mount away, with its records and all that was lent from it."""

    def remove(call: Call, rest: str) -> Response:
        path = rest.strip("/") + "/"
        mount = mounts.read(call.view, table).get(path)
        if path in _FIXED:
            raise RequestError(f"cannot unmount {path!r}")
        if mount is not None:
            _take_back(call, mount)
            left = {name: one for name, one in mounts.read(call.view, table).items() if name != path}
            mounts.write(call.view, table, left)
            for record in call.view.paths(mount.prefix):
                call.view.delete(record)
        return Response()

    return remove


def _take_back(call: Call, mount: Mount) -> None:
    for identifier in leases.below(call.view, mount.route):
        leases.revoke(call.view, identifier, call.moment)
    if mount.login:
        for identifier in leases.tokens_below(call.view, mount.route):
            revoke(call, identifier)


def remount(call: Call, _rest: str) -> Response:
    """Move a mount to another path; leases from the old path are taken back."""
    old, new = field.needed(call.data, "from").strip("/"), field.needed(call.data, "to").strip("/")
    table = AUTH if old.startswith("auth/") else SECRET
    if (table == AUTH) != new.startswith("auth/"):
        raise RequestError("cannot remount between secrets engines and logins")
    old, new = old.removeprefix("auth/"), new.removeprefix("auth/")
    if old + "/" in _FIXED:
        raise RequestError(f"cannot remount {old + '/'!r}")
    mount = _mount(call, table, old)
    path = mounts.checked_path(new, table, call.view, but=mount.path)
    _take_back(call, mount)
    left = {name: one for name, one in mounts.read(call.view, table).items() if name != mount.path}
    mounts.write(call.view, table, {**left, path: replace(mount, path=path)})
    return Response(data={"migration_id": str(uuid.uuid4())})


def remount_status(_call: Call, rest: str) -> Response:
    """Tell that a move is done: it was when it was answered."""
    return Response(data={"migration_id": rest, "migration_info": {"status": "success"}})


def interface_mounts(call: Call, _rest: str) -> Response:
    """Tell a user interface which mounts it may show; without a token those alone that say so."""
    if call.token is not None:
        call.acl = acl(call)
    found: dict[str, dict[str, Any]] = {"secret": {}, "auth": {}}
    for name, table in (("secret", SECRET), ("auth", AUTH)):
        for path, mount in mounts.read(call.view, table).items():
            if visible(call, mount):
                found[name][path] = _outlined(mount)
    return Response(data=found)


def interface_mount(call: Call, rest: str) -> Response:
    """Tell a client of which kind the mount of a path is, if it may do anything there."""
    mount = mounts.find(call.view, rest)
    if mount is None or call.acl is None or not (call.acl.root or call.acl.reaches(mount.route)):
        raise RequestError(
            f'preflight capability check returned 403, please ensure client\'s policies grant access to path "{rest}/"',
            status=403,
        )
    return Response(data=mount.described() | {"path": mount.route})


def visible(call: Call, mount: Mount) -> bool:
    """Tell whether a mount may be shown to the caller."""
    if mount.config.get("listing_visibility") == "unauth":
        return True
    return call.acl is not None and (call.acl.root or call.acl.reaches(mount.route))


def _outlined(mount: Mount) -> dict[str, Any]:
    return {
        "type": mount.type,
        "description": mount.description,
        "options": dict(mount.options) if mount.options else None,
        "accessor": mount.accessor,
        "local": mount.local,
        "seal_wrap": mount.seal_wrap,
    }


def _mount(call: Call, table: str, path: str) -> Mount:
    found = mounts.read(call.view, table).get(path.strip("/") + "/")
    if found is None:
        raise RequestError(
            f"No secret engine mount at {path.strip('/')}/"
            if table == SECRET
            else f"No auth engine at {path.strip('/')}/"
        )
    return found


def _keep(call: Call, table: str, mount: Mount) -> None:
    mounts.write(call.view, table, {**mounts.read(call.view, table), mount.path: mount})
