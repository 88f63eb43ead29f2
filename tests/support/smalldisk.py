"""A disk of its own for a test, with exactly as much room as it says."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from types import TracebackType

_LIBC = ctypes.CDLL(None, use_errno=True)
_MNT_DETACH = 2


class SmallDisk:
    """A file system in memory at `path`; `leave` fills it up to some bytes, `free` gives that back."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self._size = size
        self._filler = path / "filler"

    def __enter__(self) -> SmallDisk:
        self.path.mkdir(exist_ok=True)
        if _LIBC.mount(b"small-disk", os.fsencode(self.path), b"tmpfs", 0, f"size={self._size}".encode()):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        _LIBC.umount2(os.fsencode(self.path), _MNT_DETACH)

    def leave(self, count: int) -> None:
        """Take all room but `count` bytes."""
        system = os.statvfs(self.path)
        taken = system.f_bavail * system.f_frsize - count
        with self._filler.open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, taken)

    def free(self) -> None:
        """Give back what `leave` took."""
        self._filler.unlink(missing_ok=True)

    @property
    def free_bytes(self) -> int:
        """What can be written."""
        system = os.statvfs(self.path)
        return system.f_bavail * system.f_frsize
