"""sys/audit and sys/audit-hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from keystore.access import field
from keystore.engines.request import RequestError
from keystore.service import auditing
from keystore.service.auditing import Entry
from keystore.service.call import Call
from keystore.service.message import Response

_OPTIONS = frozenset(
    ("file_path", "path", "mode", "log_raw", "anchor_path", "format", "hmac_accessor", "prefix", "elide_list_responses")
)


def table(call: Call, _rest: str) -> Response:
    """List the devices."""
    return Response(data={path: _described(entry) for path, entry in sorted(auditing.entries(call.view).items())})


def _described(entry: Entry) -> dict[str, Any]:
    return {
        "type": entry.type,
        "description": entry.description,
        "options": {**entry.options, "public_key": entry.public},
        "path": entry.path,
        "local": entry.local,
    }


def enable(call: Call, rest: str) -> Response:
    """Open a new device."""
    path = rest.strip("/") + "/"
    if len(path) < 2 or path in auditing.entries(call.view):
        raise RequestError("path already in use" if len(path) > 1 else "missing path")
    kind = field.needed(call.data, "type")
    if kind != "file":
        raise RequestError(f"unknown audit device type: {kind!r}; there is 'file'")
    options = field.texts(call.data, "options")
    entry = Entry(
        path=path,
        type=kind,
        description=field.text(call.data, "description"),
        options=_checked(options),
        local=field.flag(call.data, "local"),
        public="",
    )
    store = call.core.open.store
    call.core.auditing.enable(call.view, entry, store.mac, call.core.seal.suite.mac_name, call.moment)
    return Response()


def _checked(options: dict[str, str]) -> dict[str, str]:
    if unknown := sorted(options.keys() - _OPTIONS):
        raise RequestError(f"options: expected one such as 'file_path', got {unknown[0]!r}")
    path = options.get("file_path") or options.get("path") or ""
    if not path.startswith("/"):
        raise RequestError("options.file_path: expected an absolute path")
    if not Path(path).parent.is_dir():
        raise RequestError(f"options.file_path: expected a directory, got none: {str(Path(path).parent)!r}")
    mode = options.get("mode") or "0600"
    if not (mode.isdecimal() and set(mode) <= set("01234567") and 0 < int(mode, 8) <= 0o666):
        raise RequestError("options.mode: expected one such as '0600'")
    return {**options, "file_path": path, "mode": mode}


def disable(call: Call, rest: str) -> Response:
    """Close a device; its file stays."""
    call.core.auditing.disable(call.view, rest.strip("/") + "/", call.moment)
    return Response()


def hash_text(call: Call, rest: str) -> Response:
    """Tell what stands in a device's log for a text, to search for it."""
    device = call.core.auditing.devices.get(rest.strip("/") + "/")
    if device is None:
        raise RequestError("unknown audit backend")
    return Response(data={"hash": device.hash(field.needed(call.data, "input"))})
