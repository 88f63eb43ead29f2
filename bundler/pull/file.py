"""The file of a bundle that is being pulled: every byte goes to its final place, and what is there is not asked again.

Beside the final name stands `NAME.part` until all of it is right. What an earlier pull left counts only when its
digests are right, so nothing is written down about it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bundler.archive import END, Span, header, padding
from bundler.errors import HostError, IntegrityError
from bundler.pull.plan import Run
from bundler.store import PIECE_BYTES, check_output

# File systems keep blocks of this size: of the last one before a hole only a part may have been written.
_BLOCK_BYTES = 4096


class PartFile:
    """`NAME.part` of a bundle, locked by its writer; close it when done.

    Raises:
        HostError: it cannot be written, or another process writes it.
    """

    def __init__(self, out: Path) -> None:
        check_output(out)
        self._out = out
        self.path = out.with_name(f"{out.name}.part")
        with self._writing():
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(self._fd)
            raise HostError("another process is writing it", place=str(self.path)) from error

    def begin(self, head: bytes, spans: list[Span], size: int) -> None:
        """Make room for a bundle of `size` bytes, and write all of it but the entries themselves.

        Raises:
            HostError: there is no room.
        """
        if os.pread(self._fd, len(head), 0) != head:
            # What is there is of another bundle.
            os.ftruncate(self._fd, 0)
        self._check_space(size)
        with self._writing():
            os.ftruncate(self._fd, size)
            self.write(head, 0)
            for span in spans:
                self.write(header(span.part.name, span.part.length), span.header)
                self.write(bytes(padding(span.part.length)), span.data + span.part.length)
            self.write(END, size - len(END))

    def _check_space(self, size: int) -> None:
        found = os.fstatvfs(self._fd)
        free, need = found.f_bavail * found.f_frsize, size - os.fstat(self._fd).st_blocks * 512
        if need > free:
            raise HostError(
                f"expected {need:,} bytes free for what is missing, got {free:,}",
                place=str(self.path.parent),
                hint="free some space, or write to another place with -o",
            )

    def write(self, data: bytes | memoryview, at: int) -> None:
        """Write bytes at an offset; threads write at once.

        Raises:
            HostError: they cannot be written.
        """
        view = memoryview(data)
        with self._writing():
            while view:
                count = os.pwrite(self._fd, view, at)
                view, at = view[count:], at + count

    def left(self, at: int, length: int) -> int:
        """Return how many of `length` bytes from `at` on an earlier pull may have written."""
        try:
            hole = os.lseek(self._fd, at, os.SEEK_HOLE)
        except OSError:
            return 0
        return length if hole >= at + length else max(0, hole - at - _BLOCK_BYTES)

    def read(self, at: int, length: int) -> Iterator[memoryview]:
        """Yield bytes that are there, in pieces that are valid until the next one."""
        buffer = memoryview(bytearray(min(PIECE_BYTES, length)))
        end = at + length
        while at < end and (count := os.preadv(self._fd, [buffer[: min(PIECE_BYTES, end - at)]], at)):
            yield buffer[:count]
            at += count

    def finish(self) -> None:
        """Give the file its name, when it is safe on the disk.

        Raises:
            HostError: it cannot be written.
        """
        with self._writing():
            os.fsync(self._fd)
            self.path.replace(self._out)

    def close(self) -> None:
        """Let go of the file; what is there stays."""
        os.close(self._fd)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise HostError(
                f"the bundle cannot be written: {error.strerror}",
                place=str(self.path),
                hint="free some space and run the command again; what has come is kept" if full else None,
            ) from error


class Segment:
    """One run of a pull on its way into the file; `size` counts the bytes that are there."""

    def __init__(self, file: PartFile, run: Run) -> None:
        self.size = 0
        self._file = file
        self._run = run
        self._begin(0)

    def _begin(self, index: int) -> None:
        """Go on with one of the pieces, from its first byte."""
        self._index = index
        self._wrong = ""
        self._first_wrong = 0
        self.size = sum(piece.length for piece in self._run.pieces[:index])
        self._next()

    def _next(self) -> None:
        self._in_piece = 0
        pieces = self._run.pieces
        self._digest = pieces[min(self._index, len(pieces) - 1)].new_digest()

    def take_up(self) -> None:
        """Go on behind what an earlier pull left, as far as that is right."""
        run = self._run
        for data in self._file.read(run.at, self._file.left(run.at, run.length)):
            self._take(data)
            if self._wrong:
                break
        if self._wrong:
            self._begin(self._first_wrong)

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        self._file.write(data, self._run.at + self.size)
        self._take(memoryview(data))

    def _take(self, view: memoryview) -> None:
        while view:
            piece = self._run.pieces[self._index]
            part = view[: piece.length - self._in_piece]
            self._digest.update(part)
            self._in_piece += len(part)
            self.size += len(part)
            view = view[len(part) :]
            if self._in_piece == piece.length:
                self._end_piece()

    def _end_piece(self) -> None:
        piece, got = self._run.pieces[self._index], self._digest.hexdigest()
        if got != piece.digest and not self._wrong:
            self._first_wrong = self._index
            self._wrong = f"expected {piece.algorithm} {piece.digest}, got {got}"
        self._index += 1
        self._next()

    def restart(self) -> None:
        """Forget what is there."""
        self._begin(0)

    def holds(self, sha256: str, size: int) -> bool:
        """Say whether all of it is there, and right."""
        return self.size == size and not self._wrong

    def commit(self, *, sha256: str, size: int) -> None:
        """Refuse what is not right.

        Raises:
            IntegrityError: other bytes came.
        """
        if size == 0:
            # No write has ended its one piece.
            self._end_piece()
        if self.size != size or self._wrong:
            raise IntegrityError(
                f'"{self._run.entry.name}" at offset {self._run.start}: '
                + (self._wrong or f"expected {size} bytes, got {self.size}")
            )
