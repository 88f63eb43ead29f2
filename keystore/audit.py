"""An append-only log of JSON lines, each chained to the one before it by SM3.

Who may write the file can cut off its end or write all of it anew: carry the last hash elsewhere now and then. Every
other change, and a line that is lost or moved inside, is found. A log that has grown is moved aside as `NAME.1`,
`NAME.2` and so on, and the chain goes on in a new file: all of them are one log.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from keystore import disk, sm3
from keystore.chain import HINT, LINE_BYTES, START, Head, Line, chained, check_place, parse_line
from keystore.errors import KeystoreError

__all__ = ["START", "TORN", "Head", "Line", "append", "exists", "last", "read", "segments", "verify"]

TORN = "torn-line"
_TORN_CHARACTERS = 1000
_NONE = Head(count=0, hash=START)


def append(path: Path, event: Mapping[str, str], *, now: datetime, most_bytes: int | None = None) -> Head:
    """Write an event at the end of a log, made on first use, and return when it is on the disk.

    A last line without its end, left by a loss of power, is cut off, and a line of the kind 'torn-line' tells so. A
    file that has reached `most_bytes` is moved aside first.
    Raises: KeystoreError when the last whole line is not one of this log, or the file cannot be written.
    """
    if most_bytes is not None:
        _rotate(path, most_bytes)
    with _opened(path) as descriptor:
        head, whole, torn = _read_end(descriptor, path)
        lines = b""
        if torn:
            told = {"kind": TORN, "bytes": str(len(torn)), "sm3": sm3.sm3(torn).hex()}
            text = torn.decode("utf-8", "replace")[:_TORN_CHARACTERS]
            head, lines = chained(head, {**told, "text": text}, now)
        head, line = chained(head, event, now)
        _write(descriptor, whole, lines + line)
    return head


def exists(path: Path) -> bool:
    """Tell whether there is a log, or what was moved aside of one."""
    with _told(path):
        return path.exists() or bool(segments(path))


def segments(path: Path) -> tuple[Path, ...]:
    """Return what was moved aside of a log, the oldest first."""
    with _told(path):
        found = [one for one in path.parent.glob(f"{path.name}.*") if one.name[len(path.name) + 1 :].isdecimal()]
    return tuple(sorted(found, key=_number))


def last(path: Path) -> Head:
    """Return where a log ends, by its last whole line alone; a log that is not there has no line.

    Raises: KeystoreError when that line was changed, or the log cannot be read.
    """
    for file in reversed((*segments(path), path)):
        with _told(file), contextlib.suppress(FileNotFoundError), file.open("rb") as stream:
            line, _, _ = _end_of(stream.fileno(), file)
            if line is not None:
                return line.head
    return _NONE


def read(path: Path, *, leave_torn: bool = False, begin: Head = _NONE) -> Iterator[Line]:
    """Yield every line of a log, in order, each checked with its place in the chain.

    With `leave_torn` a last line without its end, left by a loss of power, is no error. `begin` is where the lines
    end that were kept for their time and removed.
    Raises: KeystoreError that names the first line that was changed, cut out or moved, or that is torn.
    """
    head = begin
    before = segments(path)
    for file in (*before, path):
        # A loss of power may fall between moving a file aside and making the next one.
        if file == path and before and not path.exists():
            return
        with _told(file), file.open("rb") as stream:
            number = 0
            while data := stream.readline(LINE_BYTES + 1):
                number += 1
                place = f"{file}: line {number}"
                if leave_torn and file == path and len(data) <= LINE_BYTES and not data.endswith(b"\n"):
                    return
                line = parse_line(data, place)
                check_place(line, head, place)
                head = line.head
                yield line


def verify(path: Path) -> Head:
    """Check every line of a log and its place in the chain; return where it ends.

    Raises: KeystoreError that names the first line that was changed, cut out or moved, or that is torn.
    """
    head = _NONE
    for line in read(path):
        head = line.head
    return head


def _number(segment: Path) -> int:
    return int(segment.suffix[1:])


def _rotate(path: Path, most_bytes: int) -> None:
    """Move a file aside that has reached its size; one with a torn line waits until that is told."""
    with _opened(path) as descriptor:
        if os.fstat(descriptor).st_size < most_bytes:
            return
        _, _, torn = _end_of(descriptor, path)
        if torn:
            return
        number = max(map(_number, segments(path)), default=0) + 1
        path.rename(path.with_name(f"{path.name}.{number}"))
        disk.sync_directory(path.parent)


def _read_end(descriptor: int, path: Path) -> tuple[Head, int, bytes]:
    """Return where the log ends, at which byte of this file, and what is torn after it."""
    line, whole, torn = _end_of(descriptor, path)
    if line is not None:
        return line.head, whole, torn
    before = segments(path)
    return (last(before[-1]) if before else _NONE), whole, torn


def _end_of(descriptor: int, path: Path) -> tuple[Line | None, int, bytes]:
    """Return the last whole line of a file, where it ends, and what is torn after it."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - 2 * LINE_BYTES)
    tail = os.pread(descriptor, size - start, start)
    whole = tail.rfind(b"\n") + 1
    torn = tail[whole:]
    if whole == 0:
        if start:
            raise KeystoreError(f"expected lines of at most {LINE_BYTES} bytes, got more", place=str(path), hint=HINT)
        return None, 0, torn
    end = tail[tail.rfind(b"\n", 0, whole - 1) + 1 : whole]
    return parse_line(end, f"{path}: last line"), start + whole, torn


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
        descriptor = _locked(path)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def _locked(path: Path) -> int:
    """Open and lock the file of this name; one that was moved aside while this waited is not it any more."""
    while True:
        fresh = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
                if fresh:
                    disk.sync_directory(path.parent)
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise KeystoreError(f"expected a usable log, got '{reason}'", place=str(path)) from error
