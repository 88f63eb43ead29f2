"""The directories of the inbox. A bundle goes from one to the next by a rename, which is whole or not at all."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from pathlib import Path
from typing import Any

from bundler.errors import FerryError, HostError, IntegrityError
from bundler.installer.layout import Layout
from bundler.store import write_file

DONE, REFUSED, WORK = "done", "refused", "work"
_SUFFIX, _TOLD = ".tar", ".json"


def waiting(layout: Layout) -> tuple[Path, ...]:
    """Return the bundles that wait, by name; other names are left alone: a copy that is not whole yet has one."""
    paths = layout.inbox.glob(f"*{_SUFFIX}")
    return tuple(sorted(path for path in paths if not path.name.startswith(".")))


def in_work(layout: Layout) -> tuple[Path, ...]:
    """Return the bundles at which a run was cut off."""
    return tuple(sorted((layout.inbox / WORK).glob(f"*{_SUFFIX}")))


def make_places(layout: Layout) -> None:
    """Make the directories; root alone enters those that bundles go on to.

    Raises:
        HostError: they cannot be made.
    """
    try:
        layout.inbox.mkdir(parents=True, exist_ok=True)
        layout.inbox.chmod(0o700)
        for name in (DONE, REFUSED, WORK):
            (layout.inbox / name).mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise HostError(f"the inbox cannot be made: {error.strerror}", place=str(error.filename)) from error


def take(path: Path, layout: Layout) -> Path | None:
    """Take a bundle into work; return None while someone still writes it.

    Raises:
        IntegrityError: it is no regular file of its own; it is not taken.
        HostError: it cannot be moved.
    """
    fd = _open(path)
    try:
        if is_being_written(fd):
            return None
    finally:
        os.close(fd)
    return _move(path, layout.inbox / WORK / path.name)


def _open(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise IntegrityError(f"expected a regular file, {error.strerror}", place=path.name) from error
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        os.close(fd)
        raise IntegrityError("expected a regular file with one name, got something else", place=path.name)
    return fd


def is_being_written(fd: int) -> bool:
    """Say whether another process has it open for writing: then the kernel grants no lease to read."""
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        # A file system without leases cannot tell; a copy that is not whole is refused then.
        return False
    fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def finish(path: Path, layout: Layout, told: dict[str, Any]) -> Path:
    """Move a bundle to those that are done, with a file that tells what was."""
    return _put(path, layout.inbox / DONE, _TOLD, json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False))


def refuse(path: Path, layout: Layout, error: FerryError, at: str) -> Path:
    """Move a bundle to those that are refused, with a file that gives the reason."""
    lines = [f"refused: {path.name}", f"at: {at}", f"error: {error}", f"exit code: {error.exit_code}"]
    lines += [f"hint: {error.hint}"] if error.hint else []
    return _put(path, layout.inbox / REFUSED, ".reason", "\n".join(lines))


def _put(path: Path, directory: Path, suffix: str, text: str) -> Path:
    """Write the file first: a bundle that has moved has one."""
    place = directory / path.name
    try:
        write_file(place.with_name(place.name + suffix), f"{text}\n".encode("utf-8", "surrogateescape"), 0o600)
    except OSError as error:
        raise HostError(f"it cannot be written: {error.strerror}", place=str(place)) from error
    return _move(path, place)


def beyond(layout: Layout, keep: int) -> tuple[Path, ...]:
    """Return the bundles that are done, but for the newest `keep`, the oldest first."""
    done = sorted((layout.inbox / DONE).glob(f"*{_SUFFIX}"), key=lambda path: (_finished(path), path))
    return tuple(done[: max(0, len(done) - keep)])


def _finished(path: Path) -> int:
    """Return when a bundle was done: its own time is that of the medium from which it was copied."""
    told = path.with_name(path.name + _TOLD)
    return (told if told.exists() else path).lstat().st_mtime_ns


def remove(path: Path) -> None:
    """Remove a bundle that is done, then what tells of it.

    Raises:
        HostError: it cannot be removed.
    """
    try:
        path.unlink(missing_ok=True)
        path.with_name(path.name + _TOLD).unlink(missing_ok=True)
    except OSError as error:
        raise HostError(f"it cannot be removed: {error.strerror}", place=str(error.filename)) from error


def give_back(path: Path, layout: Layout) -> Path:
    """Let a bundle wait again."""
    return _move(path, layout.inbox / path.name)


def _move(path: Path, place: Path) -> Path:
    try:
        path.replace(place)
    except OSError as error:
        raise HostError(f"the bundle cannot be moved: {error.strerror}", place=str(path)) from error
    return place
