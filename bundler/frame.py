"""A file that is written in any order beside its final place, and gets its name when it is right."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

from bundler.errors import HostError

# Makes a file ready at a path and returns where in it the bytes are to be written.
Wrap = Callable[[Path], int]


class Frame:
    """Room for bytes, alone in a file or inside one that `wrap` makes; several threads write at once."""

    def __init__(self, path: Path, wrap: Wrap | None = None, *, replace: bool = False) -> None:
        if path.exists() and not replace:
            raise HostError("a volume is there already", place=str(path), hint="remove it, or choose another directory")
        self.path = path
        self.part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            self._fd = os.open(self.part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise self._refused(error) from error
        self._base = 0
        try:
            if wrap is not None:
                self._base = wrap(self.part)
        except BaseException:
            self.abandon()
            raise

    def write(self, offset: int, data: bytes) -> None:
        """Put bytes at an offset.

        Raises:
            HostError: the disk refuses.
        """
        view, at = memoryview(data), self._base + offset
        try:
            while view:
                count = os.pwrite(self._fd, view, at)
                view, at = view[count:], at + count
        except OSError as error:
            raise self._refused(error) from error

    def finish(self) -> None:
        """Sync the file and give it its name.

        Raises:
            HostError: the disk refuses.
        """
        try:
            os.fsync(self._fd)
            self.part.rename(self.path)
        except OSError as error:
            raise self._refused(error) from error
        self.abandon()

    def abandon(self) -> None:
        """Close the file; what has no name yet goes."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self.part.unlink(missing_ok=True)

    def _refused(self, error: OSError) -> HostError:
        return HostError(f"a volume cannot be written: {error.strerror}", place=str(self.path))
