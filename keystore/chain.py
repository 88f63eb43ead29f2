"""One line of an audit log, and its place in the chain: each line names the hash of the one before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from keystore import document, moment, sm3
from keystore.errors import KeystoreError

START = "0" * 64
LINE_BYTES = 65_536
HINT = "restore the log from a copy, keep this one as evidence, and find out who changed it"
_LINE = {"seq": int, "time": str, "prev": str, "event": dict, "hash": str}


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """Where a log ends: how many lines, and the hash of the last; that of no line is all zeros."""

    count: int
    hash: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line whose hash is right: its number from 1, when it was written, what it tells, and its hash."""

    seq: int
    time: str
    prev: str
    event: Mapping[str, str]
    hash: str

    @property
    def head(self) -> Head:
        """Where a log ends that ends with this line."""
        return Head(count=self.seq, hash=self.hash)


def chained(before: Head, event: Mapping[str, str], now: datetime) -> tuple[Head, bytes]:
    """Return the bytes of the line that follows `before`, and where the log ends with it.

    Raises: KeystoreError when the event is too large.
    """
    body = {"seq": before.count + 1, "time": moment.stamp(now), "prev": before.hash, "event": dict(event)}
    made = _hash(body)
    line = document.canonical({**body, "hash": made}) + b"\n"
    if len(line) > LINE_BYTES:
        raise KeystoreError(f"expected an event of less than {LINE_BYTES} bytes, got {len(line)}", place="event")
    return Head(count=before.count + 1, hash=made), line


def parse_line(data: bytes, place: str) -> Line:
    """Return a line whose hash is that of its content; where it belongs is not checked.

    Raises: KeystoreError.
    """
    if not data.endswith(b"\n"):
        raise KeystoreError(
            "expected a whole line, got one without its end",
            place=place,
            hint="if it is the last line, power was lost while it was written: the next entry cuts it off and tells so",
        )
    try:
        found = document.fields(document.parse(data, place), place, _LINE)
    except KeystoreError as error:
        raise KeystoreError(error.message, place=error.place, hint=HINT) from error
    body: dict[str, Any] = {name: value for name, value in found.items() if name != "hash"}
    if _hash(body) != found["hash"] or document.canonical(found) + b"\n" != data:
        raise KeystoreError("expected the hash of this line, got another: it was changed", place=place, hint=HINT)
    return Line(**found)


def check_place(line: Line, before: Head, place: str) -> None:
    """Refuse a line that does not follow where the log ended before it.

    Raises: KeystoreError that says whether lines were cut out, moved or replaced.
    """
    expected = before.count + 1
    if line.seq > expected:
        missing = line.seq - expected
        told = f"expected seq {expected}, got {line.seq}: {missing} lines were cut out"
    elif line.seq < expected:
        told = f"expected seq {expected}, got {line.seq}: lines were moved or repeated"
    elif line.prev != before.hash:
        told = "expected the hash of the line before as prev, got another: that line was replaced"
    else:
        return
    raise KeystoreError(told, place=place, hint=HINT)


def _hash(body: Mapping[str, object]) -> str:
    return sm3.sm3(document.canonical(body)).hex()
