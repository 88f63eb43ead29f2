"""Read and write the keystore's small files: private modes, whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from keystore.errors import KeystoreError

LIMIT_BYTES = 65_536


def make_directory(path: Path) -> None:
    """Make a directory of mode 0700, and the ones above it; one that exists gets that mode."""
    with _told(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)


def check_private(path: Path) -> None:
    """Refuse a directory that others than its owner may enter."""
    with _told(path):
        mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KeystoreError(f"expected mode 0700, got 0{mode:o}", place=str(path), hint=f"run: chmod 0700 {path}")


def check_private_file(path: Path) -> None:
    """Refuse a file that others than its owner may read or write.

    A credential of systemd is passed over: an access list shows as a group's right there, and its directory guards it.
    """
    if os.environ.get("CREDENTIALS_DIRECTORY") == str(path.parent):
        return
    with _told(path):
        mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise KeystoreError(f"expected mode 0600, got 0{mode:o}", place=str(path), hint=f"run: chmod 0600 {path}")


def exists(path: Path) -> bool:
    """Tell whether there is a file."""
    with _told(path):
        return path.exists()


def read(path: Path) -> bytes:
    """Return the bytes of a file of at most 64 KiB."""
    with _told(path), path.open("rb") as file:
        data = file.read(LIMIT_BYTES + 1)
    if len(data) > LIMIT_BYTES:
        raise KeystoreError(f"expected at most {LIMIT_BYTES} bytes, got more", place=str(path))
    return data


def write(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Write a file under a temporary name beside it, fsync, rename, fsync the directory."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    with _told(path):
        try:
            _write_new(temporary, data, mode)
            temporary.rename(path)
            sync_directory(path.parent)
        finally:
            temporary.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Return when no loss of power can undo which files a directory names."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the exclusive lock of a directory, so that two writers do not replace each other's files."""
    with _told(path):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise KeystoreError(f"expected a usable file or directory, got '{reason}'", place=str(path)) from error
