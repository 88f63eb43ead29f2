"""An audit file that stays open: lines in the form of `keystore.audit`, each chained to the one before it by SM3."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from keystore import document, moment, sm3
from keystore.audit import TORN
from keystore.chain import LINE_BYTES, START, Head, parse_line
from keystore.errors import KeystoreError

_ENVELOPE_BYTES = 400


class AuditFile:
    """One file, written by one process; a line is whole in the file when `append` returns, on the disk after `sync`."""

    def __init__(self, path: Path, mode: int) -> None:
        self.path = path
        self._mode = mode
        self._descriptor = -1
        self._dirty = False
        self.unsynced: list[bytes] = []
        self.head = Head(count=0, hash=START)

    def open(self, now: datetime) -> None:
        """Open or make the file and find its end; a torn last line is cut off, and a line tells so.

        Raises: KeystoreError when the last whole line is not one of such a file.
        """
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, self._mode)
            torn = self._find_end()
        except OSError as error:
            raise _unwritable(self.path, error) from error
        if torn:
            text = torn.decode("utf-8", "replace")[:1000]
            self.append({"kind": TORN, "bytes": len(torn), "sm3": sm3.sm3(torn).hex(), "text": text}, now)

    def append(self, event: Mapping[str, Any], now: datetime) -> None:
        """Write one line.

        Raises: KeystoreError when it cannot be written whole.
        """
        text = document.canonical(event).decode("ascii")
        if len(text) > LINE_BYTES - _ENVELOPE_BYTES:
            raise KeystoreError(f"expected an event of less than {LINE_BYTES} bytes, got {len(text)}", place="audit")
        rest = f'"prev":"{self.head.hash}","seq":{self.head.count + 1},"time":"{moment.stamp(now)}"}}'
        made = sm3.sm3(f'{{"event":{text},{rest}'.encode("ascii")).hex()
        line = f'{{"event":{text},"hash":"{made}",{rest}\n'.encode("ascii")
        self._write(line)
        self.unsynced.append(line)
        self.head = Head(count=self.head.count + 1, hash=made)
        self._dirty = True

    def restore(self, lines: Sequence[bytes]) -> None:
        """Write those lines that a loss of power took off the end of the file; the rest is there already.

        Raises: KeystoreError.
        """
        for line in lines:
            found = parse_line(line, f"{self.path}: kept line")
            if found.seq == self.head.count + 1 and found.prev == self.head.hash:
                self._write(line)
                self.head = found.head
                self._dirty = True
        self.sync()

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

    def rotate(self, now: datetime) -> Path | None:
        """Give the file a name of its time and begin a new one, whose first line tells where the old one ends.

        Returns: the name of the old one, or None where it is empty.
        """
        if not self.head.count:
            return None
        self.sync()
        old, name = self.head, self._old_name(now)
        self.close()
        self.path.rename(name)
        self.head = Head(count=0, hash=START)
        self.open(now)
        self.append({"kind": "continues", "file": name.name, "seq": old.count, "hash": old.hash}, now)
        self.sync()
        return name

    def _old_name(self, now: datetime) -> Path:
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        name, count = self.path.with_name(f"{self.path.name}.{stamp}"), 1
        while name.exists():
            name, count = self.path.with_name(f"{self.path.name}.{stamp}.{count}"), count + 1
        return name

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

    def _find_end(self) -> bytes:
        """Set the head to that of the last whole line, cut off what follows it, and return that."""
        size = os.fstat(self._descriptor).st_size
        start = max(0, size - 2 * LINE_BYTES)
        tail = os.pread(self._descriptor, size - start, start)
        whole = tail.rfind(b"\n") + 1
        if whole:
            last = tail[tail.rfind(b"\n", 0, whole - 1) + 1 : whole]
            self.head = parse_line(last, f"{self.path}: last line").head
        elif start:
            raise KeystoreError(f"expected lines of at most {LINE_BYTES} bytes, got more", place=str(self.path))
        os.ftruncate(self._descriptor, start + whole)
        return tail[whole:]


def _unwritable(path: Path, error: OSError) -> KeystoreError:
    reason = (error.strerror or str(error)).lower()
    return KeystoreError(f"expected a usable audit file, got '{reason}'", place=str(path))
