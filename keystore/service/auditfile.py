"""An audit file that stays open; when it has grown it is moved aside as `NAME.1` and the chain goes on in a new one."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from keystore import audit, disk, moment, sm3
from keystore.audit import TORN
from keystore.chain import LINE_BYTES, START, Head, Line, parse_line
from keystore.errors import KeystoreError
from keystore.service.auditline import chained

CONTINUES, GAP, RETIRED = "continues", "gap", "retired"


class AuditFile:
    """One log, written by one process; a line is whole in the file when `append` returns, on the disk after `sync`."""

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self._mode = mode
        self._descriptor = -1
        self._dirty = False
        self._inode = (0, 0)
        self.begun: datetime | None = None
        self.unsynced: list[bytes] = []
        self.head = Head(count=0, hash=START)

    def open(self, now: datetime, kept: Head, lines: Sequence[bytes] = ()) -> None:
        """Open or make the file, and go on from where the log ends.

        `lines` are put back where a loss of power took them off the end; `kept` is a head that the log once had: one
        that ends before it was cut, and a line says so. So does one where the last line was torn.
        Raises: KeystoreError when the last whole line is not one of such a log.
        """
        try:
            self._make()
            torn = self._find_end()
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self._restore(lines)
        if torn:
            text = torn.decode("utf-8", "replace")[:1000]
            self.append({"kind": TORN, "bytes": len(torn), "sm3": sm3.sm3(torn).hex(), "text": text}, now)
        if kept.count > self.head.count or (kept.count == self.head.count and kept.hash != self.head.hash):
            found, self.head = self.head, kept
            self.append({"kind": GAP, "seq": found.count, "hash": found.hash}, now)
        self.sync()

    def append(self, event: Mapping[str, Any], now: datetime) -> None:
        """Write one line.

        Raises: KeystoreError when it cannot be written whole.
        """
        head, line = chained(self.head, event, now)
        self._write(line)
        self.unsynced.append(line)
        self.head = head
        self.begun = self.begun or now

    def _restore(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            found = parse_line(line, f"{self.path}: kept line")
            if found.seq == self.head.count + 1 and found.prev == self.head.hash:
                self._write(line)
                self.head = found.head

    def sync(self) -> None:
        """Bring what was written to the disk; this may run in another thread.

        Raises: KeystoreError.
        """
        if not self._dirty or self._descriptor < 0:
            return
        self._dirty = False
        self.unsynced = []
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._dirty = True
            raise _unwritable(self.path, error) from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1

    @property
    def size_bytes(self) -> int:
        """How long the file is."""
        return os.fstat(self._descriptor).st_size if self._descriptor >= 0 else 0

    @property
    def moved(self) -> bool:
        """Whether what lies under the name of the log is not the file that is written."""
        try:
            found = self.path.stat()
        except OSError:
            return True
        return (found.st_dev, found.st_ino) != self._inode

    def rotate(self, now: datetime) -> Path | None:
        """Move the file aside under the next number, and begin a new one whose first line follows its last.

        A file that somebody else moved or removed is left where it is.
        Returns: the name of the old one, or None where nothing is in the file, or it has another name already.
        Raises: KeystoreError; the old file is written on then.
        """
        if not self.size_bytes:
            return None
        self.sync()
        name = None if self.moved else self._next_name()
        before = self._descriptor
        try:
            if name is not None:
                self.path.rename(name)
            self._make()
            disk.sync_directory(self.path.parent)
        except OSError as error:
            self._descriptor = before
            raise _unwritable(self.path, error) from error
        os.close(before)
        self.begun, file = None, name.name if name else ""
        self.append({"kind": CONTINUES, "file": file, "seq": self.head.count, "hash": self.head.hash}, now)
        self.sync()
        return name

    def _next_name(self) -> Path:
        number = max((int(one.suffix[1:]) for one in audit.segments(self.path)), default=0) + 1
        return self.path.with_name(f"{self.path.name}.{number}")

    def retire(self, now: datetime, keep: timedelta) -> list[str]:
        """Remove the oldest files whose last line is older than `keep`, each after a line that says so.

        Returns: their names.
        Raises: KeystoreError.
        """
        names = []
        for segment in audit.segments(self.path):
            last = _last(segment)
            if last is None or moment.parse(last.time, str(segment)) > now - keep:
                break
            told = {"kind": RETIRED, "file": segment.name, "seq": last.seq, "hash": last.hash, "time": last.time}
            self.append(told, now)
            self.sync()
            try:
                segment.unlink()
            except OSError as error:
                raise _unwritable(segment, error) from error
            names.append(segment.name)
        return names

    def _make(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, self._mode)
        found = os.fstat(self._descriptor)
        self._inode = (found.st_dev, found.st_ino)

    def _write(self, line: bytes) -> None:
        if self._descriptor < 0:
            raise KeystoreError("expected an open audit file, got a closed one", place=str(self.path))
        try:
            written = os.write(self._descriptor, line)
        except OSError as error:
            raise _unwritable(self.path, error) from error
        if written != len(line):
            # Half a line would be taken for a loss of power: it is cut off at once.
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
            raise _unwritable(self.path, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
        self._dirty = True

    def _find_end(self) -> bytes:
        """Set the head to that of the last whole line, cut off what follows it, and return that."""
        size = os.fstat(self._descriptor).st_size
        start = max(0, size - 2 * LINE_BYTES)
        tail = os.pread(self._descriptor, size - start, start)
        whole = tail.rfind(b"\n") + 1
        if whole:
            last = tail[tail.rfind(b"\n", 0, whole - 1) + 1 : whole]
            self.head = parse_line(last, f"{self.path}: last line").head
            self.begun = self._first_time()
        elif start:
            raise KeystoreError(f"expected lines of at most {LINE_BYTES} bytes, got more", place=str(self.path))
        else:
            # A loss of power may fall between moving a file aside and the first line of the next one.
            self.head = audit.last(self.path)
        os.ftruncate(self._descriptor, start + whole)
        return tail[whole:]

    def _first_time(self) -> datetime:
        first = os.pread(self._descriptor, LINE_BYTES, 0)
        line = parse_line(first[: first.find(b"\n") + 1], f"{self.path}: line 1")
        return moment.parse(line.time, f"{self.path}: line 1")


def _last(segment: Path) -> Line | None:
    """Return the last whole line of a file that was moved aside."""
    try:
        with segment.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - 2 * LINE_BYTES)
            tail = os.pread(file.fileno(), 2 * LINE_BYTES, start)
    except OSError as error:
        raise _unwritable(segment, error) from error
    whole = tail.rfind(b"\n") + 1
    return parse_line(tail[tail.rfind(b"\n", 0, whole - 1) + 1 : whole], f"{segment}: last line") if whole else None


def _unwritable(path: Path, error: OSError) -> KeystoreError:
    reason = (error.strerror or str(error)).lower()
    return KeystoreError(f"expected a usable audit file, got '{reason}'", place=str(path))
