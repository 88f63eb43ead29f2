"""Blobs of the store into a tree: large ones share their bytes with it where the file system can."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

from bundler.tree import write_tree_file

SHARED_ABOVE_BYTES = 16 * 1024 * 1024
# linux/fs.h: _IOW(0x94, 9, int), the same on x86-64 and arm64.
_FICLONE = 0x40049409


def place_blob(root: Path, name: str, blob: Path, *, executable: bool) -> None:
    """Put a blob at a relative name of a tree, making its directories.

    A large one becomes a clone or a hard link: nobody but root can write into a release, and root does not. A program
    is never a link, since a link has the mode of the blob. What cannot be shared is copied.
    """
    with blob.open("rb") as stream:
        source = stream.fileno()
        large = os.fstat(source).st_size > SHARED_ABOVE_BYTES

        def share(last: str, parent: int) -> bool:
            return large and (
                _clone(source, last, parent, 0o755 if executable else 0o644)
                or (not executable and _link(blob, last, parent))
            )

        write_tree_file(root, name, stream, executable=executable, share=share)


def _clone(source: int, name: str, parent: int, mode: int) -> bool:
    """Make a file of the same extents (btrfs, xfs); say whether it was done. A file that is there stays as it is."""
    try:
        target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=parent)
    except OSError:
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
        os.fchmod(target, mode)
    except OSError:
        os.unlink(name, dir_fd=parent)
        return False
    finally:
        os.close(target)
    return True


def _link(blob: Path, name: str, parent: int) -> bool:
    """Make a hard link; say whether it was done."""
    with contextlib.suppress(OSError):
        os.link(blob, name, dst_dir_fd=parent, follow_symlinks=False)
        return True
    return False
