"""Lines of an audit log in the forms that other programs read.

Source: RFC 5424 for the form 'syslog'.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from keystore import moment
from keystore.chain import Line

_AUTHPRIV_NOTICE = 10 * 8 + 5
Write = Callable[[str], object]


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """Which lines are wanted; an empty text wants all."""

    since: str = ""
    until: str = ""
    prefix: str = ""

    @classmethod
    def parse(cls, *, since: str, until: str, prefix: str) -> Choice:
        """Return the choice of an operator.

        Raises: KeystoreError for a time in another form.
        """
        for name, text in (("--since", since), ("--until", until)):
            if text:
                moment.parse(text, name)
        return cls(since=since, until=until, prefix=prefix)

    def wants(self, line: Line) -> bool:
        """Tell whether a line is wanted; times in their one form sort as texts."""
        if (self.since and line.time < self.since) or (self.until and line.time >= self.until):
            return False
        return not self.prefix or _path(line).startswith(self.prefix)


class Writer:
    """One object a line; `count` tells how many."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self.count = 0

    def take(self, line: Line, choice: Choice) -> None:
        """Write a line that is wanted."""
        if choice.wants(line):
            self.count += 1
            self._write(self._formed(line))

    def end(self) -> None:
        """Write what stands after the last line."""

    def _formed(self, line: Line) -> str:
        return _json(line) + "\n"


class _Array(Writer):
    """One array of objects."""

    def end(self) -> None:
        """Close the array."""
        self._write("\n]\n" if self.count else "[]\n")

    def _formed(self, line: Line) -> str:
        return ("[\n" if self.count == 1 else ",\n") + _json(line)


class _Syslog(Writer):
    """Lines of RFC 5424, the event as their message."""

    def _formed(self, line: Line) -> str:
        event = json.dumps(line.event, sort_keys=True, separators=(",", ":"))
        kind = str(line.event.get("kind", "-")).replace(" ", "_")[:32]
        data = f'[chain@0 seq="{line.seq}" hash="{line.hash}"]'
        return f"<{_AUTHPRIV_NOTICE}>1 {line.time} - ferry-keystore - {kind} {data} {event}\n"


_FORMS: Mapping[str, Callable[[Write], Writer]] = {"jsonl": Writer, "json": _Array, "syslog": _Syslog}


def writer(form: str, write: Write) -> Writer:
    """Return the writer of a form: 'jsonl', 'json' or 'syslog'."""
    return _FORMS[form](write)


def _json(line: Line) -> str:
    found = {"seq": line.seq, "time": line.time, "event": line.event, "prev": line.prev, "hash": line.hash}
    return json.dumps(found, separators=(",", ":"))


def _path(line: Line) -> str:
    event: Mapping[str, Any] = line.event
    request = event.get("request")
    return str(request.get("path", "")) if isinstance(request, dict) else ""
