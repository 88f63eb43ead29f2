"""Bytes that can be read at any place: a file's, or what is computed from others."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Protocol

from bundler.errors import FerryError, HostError, IntegrityError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


# What the system says once a stick is pulled out, a drive is opened, or a network file system is gone.
_GONE = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM, errno.ENOTCONN, errno.ESTALE, errno.ESHUTDOWN})
_LEAST_BYTES = 512


class Source(Protocol):
    """Bytes that can be read at any place; `name` is told in errors."""

    name: str
    size: int

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill a view from an offset on and return how much came, 0 at the end; several threads call at once.

        Raises:
            OSError: the medium cannot be read there.
            IntegrityError: what the bytes are computed from is damaged there.
        """


class FileSource:
    """The bytes of a file."""

    def __init__(self, path: Path) -> None:
        try:
            self._file = path.open("rb", buffering=0)
        except OSError as error:
            raise IntegrityError(f"the bundle cannot be read: {error.strerror}", place=str(path)) from error
        self.name = str(path)
        self.size = os.fstat(self._file.fileno()).st_size

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill a view from an offset on.

        Raises:
            OSError: the medium cannot be read there.
        """
        return os.preadv(self._file.fileno(), [view], offset)

    def __enter__(self) -> FileSource:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()


def read_at(source: Source, count: int, offset: int) -> bytes:
    """Return `count` bytes from an offset on, fewer where the source ends.

    Raises:
        OSError, IntegrityError: as the source does.
    """
    buffer = memoryview(bytearray(count))
    done = 0
    while done < count and (got := source.read_into(buffer[done:], offset + done)):
        done += got
    return bytes(buffer[:done])


def unreadable(error: OSError, place: str) -> FerryError:
    """Return what it means that a medium cannot be read: damaged there, or no longer here at all."""
    if error.errno in _GONE:
        return HostError(
            f"the medium is gone: {error.strerror}", place=place, hint="put it in again and run the same command again"
        )
    return IntegrityError(
        f"the medium cannot be read: {error.strerror}",
        place=place,
        hint="clean or replace the medium and carry the bundle again",
    )


def of_system(error: BaseException | None) -> OSError | None:
    """Return what the system said that an error came of, None where it came of something else."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error


@contextmanager
def readable(place: str) -> Iterator[None]:
    """Tell of a medium that fails in the words of `unreadable`.

    Raises:
        IntegrityError, HostError: it cannot be read, or is gone.
    """
    try:
        yield
    except OSError as error:
        raise unreadable(error, place) from error


def as_stream(source: Source) -> BinaryIO:
    """Return a stream from the start of a source; closing it leaves the source open."""
    return io.BufferedReader(_Raw(source))


class _Raw(io.RawIOBase):
    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0
        self.name = source.name

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        try:
            count = self._source.read_into(view, self._at)
        except OSError:
            if len(view) <= _LEAST_BYTES:
                raise
            # What was to be read ahead may be damaged, and what is asked for not.
            count = self._source.read_into(view[:_LEAST_BYTES], self._at)
        self._at += count
        return count
