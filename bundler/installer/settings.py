"""The operator's settings of a service: a file of NAME=VALUE lines that a person and `--set` edit alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from bundler.errors import HostError
from bundler.model.service import Service

_LINE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)=(.*)")
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=~-]*")
# What systemd takes a backslash before, inside double quotes (systemd.exec(5), EnvironmentFile=).
_ESCAPED = re.compile(r'(["\\`$])')
_UNESCAPED = re.compile(r'\\(["\\`$])')


def parse_changes(texts: Sequence[str], services: Sequence[Service]) -> dict[str, dict[str, str]]:
    """Parse `SERVICE.NAME=VALUE` texts; return values by service and name, "" to go back to the default.

    Raises:
        HostError: no such service or setting, or a value that a line cannot hold.
    """
    known = {service.name: service for service in services}
    changes: dict[str, dict[str, str]] = {}
    for text in texts:
        place = f"--set {text.partition('=')[0]}"
        match = re.fullmatch(r"([a-z0-9-]+)\.([A-Za-z_][A-Za-z0-9_]*)=(.*)", text, re.DOTALL)
        if match is None:
            raise HostError("expected SERVICE.NAME=VALUE", place=place)
        name, setting, value = match.groups()
        if name not in known:
            raise HostError(f'expected one of {_quoted(known)}, got "{name}"', place=place)
        if setting not in known[name].settings:
            allowed = _quoted(known[name].settings) or "none: it has no settings"
            raise HostError(f'expected one of {allowed}, got "{setting}"', place=place)
        if any(ord(character) < 0x20 or ord(character) == 0x7F for character in value):
            raise HostError("expected one line of text, got a control character", place=place)
        changes.setdefault(name, {})[setting] = value
    return changes


def _quoted(names: Sequence[str] | Mapping[str, object]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def read_settings(text: str) -> dict[str, str]:
    """Return the settings that are set; an empty value counts as not set, as it does for the services."""
    found = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line):
            found[match[1]] = _plain(match[2].strip())
    return {name: value for name, value in found.items() if value}


def _plain(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] == '"':
        return _UNESCAPED.sub(r"\1", value[1:-1])
    if len(value) >= 2 and value[0] == value[-1] == "'":
        return value[1:-1]
    return value


def edit_settings(text: str, service: Service, changes: Mapping[str, str]) -> str:
    """Return a settings file with some lines changed, every other line kept, and each allowed setting named.

    An empty `text` becomes the template. A service without settings has no file: "".
    """
    if not service.settings:
        return text
    lines = (text or _template(service)).splitlines()
    for name in service.settings:
        at = _places(lines, name)
        if name in changes:
            kept = [line for index, line in enumerate(lines) if index not in at]
            kept.insert(at[0] if at else len(kept), _line(name, changes[name]))
            lines = kept
        elif not at:
            lines.append(f"#{name}=")
    return "\n".join(lines) + "\n"


def _template(service: Service) -> str:
    # What runs no program of the payload has a configuration that the installer writes.
    then = f"systemctl restart ferry-{service.name}" if service.run else "install the bundle again"
    return (
        f"# Settings of {service.name}: {service.description}. They last through upgrades.\n"
        f"# After a change by hand: {then}. Keys and passwords do not belong here.\n"
    )


def _places(lines: Sequence[str], name: str) -> list[int]:
    """Return where a setting stands, commented out or not."""
    return [index for index, line in enumerate(lines) if re.match(rf"\s*#?{re.escape(name)}=", line)]


def _line(name: str, value: str) -> str:
    if not value:
        return f"#{name}="
    return f"{name}={value}" if _PLAIN.fullmatch(value) else f'{name}="{_escape(value)}"'


def _escape(value: str) -> str:
    return _ESCAPED.sub(r"\\\1", value)
