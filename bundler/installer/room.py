"""What room the file systems of this host have, and what a plan needs on each."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.installer.layout import Layout
from bundler.installer.plan import Plan
from bundler.installer.preflight.required import RESERVE_BYTES

# An undo writes back settings, units and a few small files.
_KEPT, _KEPT_BYTES = "room-for-undo", 1024 * 1024
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """One file system: the places on it, what they need with the reserve of a preflight, and what can be written."""

    places: tuple[str, ...]
    needed_bytes: int
    free_bytes: int
    out_of_files: bool


def keep_room(layout: Layout) -> None:
    """Take some room for the time of a run, so that it can be undone on a disk that became full."""
    fd = os.open(layout.state / _KEPT, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(fd, 0, _KEPT_BYTES)
    finally:
        os.close(fd)


def give_room(layout: Layout) -> None:
    """Give back what `keep_room` took."""
    (layout.state / _KEPT).unlink(missing_ok=True)


def is_full(error: BaseException | None) -> bool:
    """Say whether an error came from a file system without room."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        error = error.__cause__
    return False


def lacks_room(plan: Plan, layout: Layout) -> bool:
    """Say whether a file system has less than the plan needs there."""
    return any(room.out_of_files or room.free_bytes < room.needed_bytes for room in _rooms(plan, layout))


def told_room(plan: Plan, layout: Layout) -> str:
    """Say for each file system what the plan needs there and what is free now."""
    return "; ".join(map(_told, _rooms(plan, layout)))


def _rooms(plan: Plan, layout: Layout) -> Sequence[Room]:
    needs = (
        (layout.state, plan.store_bytes),
        (layout.programs, plan.tree_bytes),
        (layout.at("/usr"), plan.packages_bytes),
    )
    found: dict[int, list[tuple[Path, int]]] = {}
    for place, needed in needs:
        found.setdefault(_there(place).stat().st_dev, []).append((place, needed))
    return [_room(places, layout) for places in found.values() if any(needed for _, needed in places)]


def _room(places: Sequence[tuple[Path, int]], layout: Layout) -> Room:
    system = os.statvfs(_there(places[0][0]))
    return Room(
        places=tuple(f"/{place.relative_to(layout.root)}" for place, needed in places if needed),
        needed_bytes=sum(needed for _, needed in places) + RESERVE_BYTES,
        free_bytes=system.f_bavail * system.f_frsize,
        # A file system without a fixed number of files says 0 of both.
        out_of_files=bool(system.f_files) and not system.f_favail,
    )


def _there(path: Path) -> Path:
    """Return the path or the first above it that exists."""
    while not path.exists():
        path = path.parent
    return path


def _told(room: Room) -> str:
    files = " and no inode" if room.out_of_files else ""
    return f"{' and '.join(room.places)}: {room.needed_bytes} bytes needed, {room.free_bytes}{files} free"
