"""The Pythons that install.sh put on this host, each by the digest of its content."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from bundler.errors import HostError
from bundler.installer.layout import Layout


def remove_unused(layout: Layout) -> None:
    """Remove those that the command `ferry` does not start, the one that runs this among them: all of it is loaded.

    Nothing is removed while an install.sh is at work, which may use them.

    Raises:
        HostError: one cannot be removed.
    """
    with suppress(FileNotFoundError, BlockingIOError), _alone(layout):
        _remove(layout)
    for directory in (layout.toolchains, layout.programs):
        with suppress(OSError):
            directory.rmdir()


@contextmanager
def _alone(layout: Layout) -> Iterator[None]:
    """Hold the lock that every install.sh holds together with the others."""
    fd = os.open(layout.toolchains, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _remove(layout: Layout) -> None:
    launcher = layout.launcher.read_text("utf-8", "replace") if layout.launcher.is_file() else ""
    for path in layout.toolchains.glob("*"):
        if f"/{layout.toolchains.name}/{path.name}/" not in launcher:
            try:
                shutil.rmtree(path)
            except OSError as error:
                raise HostError(f"it cannot be removed: {error.strerror}", place=str(error.filename)) from error
