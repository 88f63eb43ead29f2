"""Volumes that are bad or lost, written anew as they were, from the others and those of parity."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bundler.checks import Reading
from bundler.errors import FerryError, HostError, IntegrityError, TrustError
from bundler.frame import Frame
from bundler.model.volume import STRIPE_BYTES
from bundler.parity import Healed, Shards, each_stripe, listed, remedy
from bundler.source import FileSource, Source, read_at
from bundler.verify import Policy
from bundler.volumeset import Ask, VolumeSet


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The numbers of volumes that were right, and where those are that were not and now are."""

    right: tuple[int, ...]
    healed: tuple[Path, ...]


def find_volumes(places: Sequence[Path], policy: Policy, *, now: datetime) -> VolumeSet:
    """Return the volumes that files and directories hold, by the first whose head is right.

    Raises:
        TrustError, IntegrityError: there is none.
    """
    refused: FerryError | None = None
    for path in _files(places):
        try:
            volumes = VolumeSet(path, policy, now=now)
        except (IntegrityError, TrustError) as error:
            refused = refused or error
            continue
        for place in dict.fromkeys(one if one.is_dir() else one.parent for one in places):
            volumes.look(place)
        return volumes
    raise refused or IntegrityError("expected volumes of a bundle, there are none", place=str(places[0]))


def _files(places: Sequence[Path]) -> list[Path]:
    found = []
    for place in places:
        found += sorted(place.glob("*.tar")) if place.is_dir() else [place]
    return found


def heal(volumes: VolumeSet, out: Path, reading: Reading) -> Outcome:
    """Check all volumes and write those that are bad or lost into a directory, in place where they are there.

    Raises:
        HostError: there is no parity, or too little space.
        IntegrityError: parity cannot heal all of them; those that it can are written.
    """
    bad = _check_all(volumes, reading)
    wanting = [number for number in (*volumes.data, *volumes.parity) if number in bad]
    right = tuple(number for number in (*volumes.data, *volumes.parity) if number not in bad)
    if not wanting:
        return Outcome(right=right, healed=())
    if not volumes.parity:
        raise HostError(
            f"{listed(wanting, volumes.count)} of {volumes.count} volumes are bad or missing, and there is no parity",
            hint="carry them again; `ferry split --parity 1` makes a volume that heals one",
        )
    _check_space(out, sum(map(volumes.cut.size, wanting)), "to heal")
    healed, failed = [], {}
    for number in wanting:
        try:
            healed.append(_rewrite(volumes, number, out, reading))
        except IntegrityError as error:
            failed[number] = error
    if failed:
        raise _refused(volumes, bad, failed, right)
    return Outcome(right=right, healed=tuple(healed))


def _check_all(volumes: VolumeSet, reading: Reading) -> dict[int, FerryError | None]:
    """Return the volumes that are bad, and why, and those that are not there."""
    bad: dict[int, FerryError | None] = {}
    for number in (*volumes.data, *volumes.parity):
        if number not in volumes.paths:
            bad[number] = None
            continue
        try:
            volumes.check(number, reading, set())
        except IntegrityError as error:
            bad[number] = error
    return bad


def _rewrite(volumes: VolumeSet, number: int, out: Path, reading: Reading) -> Path:
    """Write a volume as it must be; it gets its name once every byte of it was read back and is right."""
    path = out / volumes.name(number)
    with volumes.shards() as shards:
        frame = Frame(path, replace=True)
        try:
            _write(frame, shards, number)
            with FileSource(frame.part) as source:
                volumes.check_source(source, reading, set())
            frame.finish()
        finally:
            frame.abandon()
    volumes.paths[number] = path
    return path


def _write(frame: Frame, shards: Shards, number: int) -> None:
    cut, whole = shards.cut, Healed(shards, number)
    start, end = cut.body_at(number), cut.body_at(number) + cut.shape.body(number)
    frame.write(0, read_at(whole, start, 0))

    def write(stripe: int) -> None:
        if cut.shape.stripe_bytes(number, stripe):
            frame.write(start + stripe * STRIPE_BYTES, shards.stripe(number, stripe))

    each_stripe(cut.shape, write)
    frame.write(end, read_at(whole, whole.size - end, end))


def _refused(
    volumes: VolumeSet, bad: dict[int, FerryError | None], failed: dict[int, IntegrityError], right: Sequence[int]
) -> IntegrityError:
    count = volumes.count
    reasons = "".join(f"\n  {volumes.name(number)}: {bad[number] or 'missing'}" for number in failed)
    have = [number for number in right if number in volumes.parity]
    left = [number for number in failed if number in volumes.data]
    return IntegrityError(
        f"{len(failed)} volumes cannot be healed:{reasons}",
        hint=f"carry again: volumes {listed(list(failed), count)} of {count}"
        + (remedy(len(left), len(have), len(volumes.parity)) if left else ""),
    )


def collect(volumes: VolumeSet, out: Path, ask: Ask | None, advance: Callable[[int], None]) -> VolumeSet:
    """Copy volumes into a directory, medium after medium, damaged ones too, as far as they can be read.

    Raises:
        HostError: there is too little space, which is told before the first is copied.
    """
    numbers = (*volumes.data, *volumes.parity)
    left = [number for number in numbers if not (out / volumes.name(number)).is_file()]
    _check_space(out, sum(map(volumes.cut.size, left)), "to copy the volumes and heal")
    place: Path | None = volumes.first.parent
    while place is not None:
        volumes.look(place)
        for number in [one for one in left if one in volumes.paths]:
            _copy(volumes, number, out, advance)
            left.remove(number)
        place = ask(tuple(left), volumes.count, place) if left and ask else None
    for number in numbers:
        if number not in left:
            volumes.paths[number] = out / volumes.name(number)
    return volumes


def _copy(volumes: VolumeSet, number: int, out: Path, advance: Callable[[int], None]) -> None:
    frame = Frame(out / volumes.name(number))
    size = volumes.cut.size(number)
    try:
        with FileSource(volumes.paths[number]) as source:
            for at in range(0, size, STRIPE_BYTES):
                frame.write(at, _readable(source, min(STRIPE_BYTES, size - at), at))
                advance(min(STRIPE_BYTES, size - at))
        frame.finish()
    finally:
        frame.abandon()


def _readable(source: Source, count: int, offset: int) -> bytes:
    """Return bytes of a medium, zeros where it cannot be read: the check finds them."""
    try:
        return read_at(source, count, offset).ljust(count, b"\0")
    except OSError:
        return bytes(count)


def _check_space(out: Path, needed: int, why: str) -> None:
    free = shutil.disk_usage(out).free
    if needed > free:
        raise HostError(
            f"expected {needed} bytes free {why}, got {free}: {needed - free} are missing",
            place=str(out),
            hint="free that much there, or choose another directory with -o",
        )
