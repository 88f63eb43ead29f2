"""sys/audit and sys/audit-hash."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from keystore.access import duration, field
from keystore.engines.request import RequestError
from keystore.errors import KeystoreError
from keystore.service import auditing
from keystore.service.auditing import Entry
from keystore.service.auditsyslog import DEFAULT_FACILITY, DEFAULT_SOCKET, DEFAULT_TAG, FACILITIES
from keystore.service.call import Call
from keystore.service.message import Response

_COMMON = frozenset(("log_raw", "anchor_path", "format", "hmac_accessor", "prefix", "elide_list_responses"))
_OPTIONS = {
    "file": _COMMON | {"file_path", "path", "mode", "rotate_bytes", "rotate_period", "retention"},
    "syslog": _COMMON | {"facility", "tag", "address"},
}
_TAG = re.compile(r"[A-Za-z0-9._-]{1,32}")
_SMALLEST_BYTES = 65_536
_SHORTEST_PERIOD_S = 60


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
    if kind not in _OPTIONS:
        raise RequestError(f"unknown audit device type: {kind!r}; there are 'file' and 'syslog'")
    options = field.texts(call.data, "options")
    entry = Entry(
        path=path,
        type=kind,
        description=field.text(call.data, "description"),
        options=_checked(kind, options),
        local=field.flag(call.data, "local"),
        public="",
    )
    store = call.core.open.store
    call.core.auditing.enable(call.view, entry, store.mac, call.core.seal.suite.mac_name, call.moment)
    return Response()


def _checked(kind: str, options: dict[str, str]) -> dict[str, str]:
    if unknown := sorted(options.keys() - _OPTIONS[kind]):
        wanted = "file_path" if kind == "file" else "facility"
        raise RequestError(f"options: expected one such as {wanted!r}, got {unknown[0]!r}")
    anchors = options.get("anchor_path", "")
    if anchors:
        _check_place("anchor_path", anchors)
    return _checked_syslog(options) if kind == "syslog" else _checked_file(options)


def _checked_file(options: dict[str, str]) -> dict[str, str]:
    path = options.get("file_path") or options.get("path") or ""
    _check_place("file_path", path)
    mode = options.get("mode") or "0600"
    if not (mode.isdecimal() and set(mode) <= set("01234567") and 0 < int(mode, 8) <= 0o666):
        raise RequestError("options.mode: expected one such as '0600'")
    _check_size(options.get("rotate_bytes", ""))
    period = _duration(options, "rotate_period")
    if 0 < period < _SHORTEST_PERIOD_S:
        raise RequestError(f"options.rotate_period: expected at least {_SHORTEST_PERIOD_S}s, got {period}s")
    keep = _duration(options, "retention")
    if 0 < keep < auditing.RETENTION_S:
        floor = auditing.RETENTION_S // 86_400
        raise RequestError(f"options.retention: expected at least {floor}d, got {options['retention']}")
    return {**options, "file_path": path, "mode": mode}


def _checked_syslog(options: dict[str, str]) -> dict[str, str]:
    facility, tag = options.get("facility") or DEFAULT_FACILITY, options.get("tag") or DEFAULT_TAG
    if facility.upper() not in FACILITIES:
        raise RequestError(f"options.facility: expected one such as 'AUTH' or 'LOCAL0', got {facility!r}")
    if not _TAG.fullmatch(tag):
        raise RequestError("options.tag: expected 1 to 32 letters, digits and '._-'")
    if not (options.get("address") or DEFAULT_SOCKET).startswith("/"):
        raise RequestError("options.address: expected the absolute path of a socket such as '/dev/log'")
    return options


def _check_place(name: str, path: str) -> None:
    if not path.startswith("/"):
        raise RequestError(f"options.{name}: expected an absolute path")
    if not Path(path).parent.is_dir():
        raise RequestError(f"options.{name}: expected a directory, got none: {str(Path(path).parent)!r}")


def _check_size(text: str) -> None:
    if text and not (text.isascii() and text.isdigit() and _SMALLEST_BYTES <= int(text[:20]) < 1 << 50):
        raise RequestError(f"options.rotate_bytes: expected a number of at least {_SMALLEST_BYTES}, got {text!r}")


def _duration(options: dict[str, str], name: str) -> int:
    try:
        return duration.parse(options.get(name), f"options.{name}")
    except KeystoreError as error:
        raise RequestError(str(error)) from None


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
