"""An append-only log of JSON lines, each chained to the one before it by SM3.

Who may write the file can cut off its end or write all of it anew: carry the last hash elsewhere now and then. Every
other change, and a line that is lost or moved inside, is found.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from keystore import document, moment, sm3
from keystore.errors import KeystoreError

START = "0" * 64
LINE_BYTES = 65_536
TORN = "torn-line"
_LINE = {"seq": int, "time": str, "prev": str, "event": dict, "hash": str}
_TORN_CHARACTERS = 1000
_HINT = "restore the log from a copy, keep this one as evidence, and find out who changed it"


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """Where a log ends: how many lines, and the hash of the last; that of no line is all zeros."""

    count: int
    hash: str


def append(path: Path, event: Mapping[str, str], *, now: datetime) -> Head:
    """Write an event at the end of a log, made on first use, and return when it is on the disk.

    A last line without its end, left by a loss of power, is cut off, and a line of the kind 'torn-line' tells so.
    Raises: KeystoreError when the last whole line is not one of this log, or the file cannot be written.
    """
    with _opened(path) as descriptor:
        head, whole, torn = _read_end(descriptor, path)
        lines = b""
        if torn:
            told = {"kind": TORN, "bytes": str(len(torn)), "sm3": sm3.sm3(torn).hex()}
            text = torn.decode("utf-8", "replace")[:_TORN_CHARACTERS]
            head, lines = _chained(head, {**told, "text": text}, now)
        head, line = _chained(head, event, now)
        _write(descriptor, whole, lines + line)
    return head


def verify(path: Path) -> Head:
    """Check every line of a log and its place in the chain; return where it ends.

    Raises: KeystoreError that names the first line that was changed, cut out or moved, or that is torn.
    """
    head = Head(count=0, hash=START)
    with _told(path), path.open("rb") as file:
        while line := file.readline(LINE_BYTES + 1):
            head = _check(line, head, f"{path}: line {head.count + 1}")
    return head


def _check(line: bytes, before: Head, place: str) -> Head:
    found = _parse(line, place)
    expected = before.count + 1
    if found["seq"] > expected:
        missing = found["seq"] - expected
        raise KeystoreError(
            f"expected seq {expected}, got {found['seq']}: {missing} lines were cut out", place=place, hint=_HINT
        )
    if found["seq"] < expected:
        raise KeystoreError(
            f"expected seq {expected}, got {found['seq']}: lines were moved or repeated", place=place, hint=_HINT
        )
    if found["prev"] != before.hash:
        raise KeystoreError(
            "expected the hash of the line before as prev, got another: that line was replaced", place=place, hint=_HINT
        )
    return Head(count=expected, hash=found["hash"])


def parse_line(line: bytes, place: str) -> dict[str, Any]:
    """Return the fields of one line, whose own hash is checked; its place in the chain is not.

    Raises: KeystoreError.
    """
    return _parse(line, place)


def _parse(line: bytes, place: str) -> dict[str, Any]:
    if not line.endswith(b"\n"):
        raise KeystoreError(
            "expected a whole line, got one without its end",
            place=place,
            hint="if it is the last line, power was lost while it was written: the next entry cuts it off and tells so",
        )
    try:
        found = document.fields(document.parse(line, place), place, _LINE)
    except KeystoreError as error:
        raise KeystoreError(error.message, place=error.place, hint=_HINT) from error
    claimed = found["hash"]
    body = {name: value for name, value in found.items() if name != "hash"}
    if _hash(body) != claimed or document.canonical(found) + b"\n" != line:
        raise KeystoreError("expected the hash of this line, got another: it was changed", place=place, hint=_HINT)
    return found


def _hash(body: Mapping[str, object]) -> str:
    return sm3.sm3(document.canonical(body)).hex()


def _chained(head: Head, event: Mapping[str, str], now: datetime) -> tuple[Head, bytes]:
    body = {"seq": head.count + 1, "time": moment.stamp(now), "prev": head.hash, "event": dict(event)}
    made = _hash(body)
    line = document.canonical({**body, "hash": made}) + b"\n"
    if len(line) > LINE_BYTES:
        raise KeystoreError(f"expected an event of less than {LINE_BYTES} bytes, got {len(line)}", place="event")
    return Head(count=head.count + 1, hash=made), line


def _read_end(descriptor: int, path: Path) -> tuple[Head, int, bytes]:
    """Return where the whole lines end, at which byte, and what is torn after it."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - 2 * LINE_BYTES)
    tail = os.pread(descriptor, size - start, start)
    whole = tail.rfind(b"\n") + 1
    torn = tail[whole:]
    if whole == 0:
        if start:
            raise KeystoreError(f"expected lines of at most {LINE_BYTES} bytes, got more", place=str(path), hint=_HINT)
        return Head(count=0, hash=START), 0, torn
    last = tail[tail.rfind(b"\n", 0, whole - 1) + 1 : whole]
    found = _parse(last, f"{path}: last line")
    return Head(count=found["seq"], hash=found["hash"]), start + whole, torn


def _write(descriptor: int, at: int, data: bytes) -> None:
    try:
        os.ftruncate(descriptor, at)
        done = 0
        while done < len(data):
            done += os.pwrite(descriptor, data[done:], at + done)
        os.fsync(descriptor)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, at)
        raise


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Hold the log open under its exclusive lock; a new one is of mode 0600 and its directory is synced."""
    with _told(path):
        fresh = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if fresh:
                _sync(path.parent)
            yield descriptor
        finally:
            os.close(descriptor)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise KeystoreError(f"expected a usable log, got '{reason}'", place=str(path)) from error
