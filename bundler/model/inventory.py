"""What a lock lets into the zone, thing by thing, and how two locks differ in that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bundler.model.deb import LockedDeb
from bundler.model.lock import Lock
from bundler.model.platform import Platform
from bundler.model.wheel import LockedPackage


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """One thing of a lock for one platform, or for all where that is None.

    `blobs` are the SHA-256 in hex and the size in bytes of each of its files.
    """

    kind: str
    name: str
    version: str
    platform: Platform | None
    blobs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """How one thing differs: `old` and `new` are versions, empty where it is not there.

    Equal versions mean other files under the same version. `entering_bytes` are those of files that are not in the
    old lock at all.
    """

    kind: str
    name: str
    old: str
    new: str
    entering_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How a new lock differs from an old one; files and bytes enter the zone, or leave it, each content once."""

    changes: tuple[Change, ...]
    entering: int
    entering_bytes: int
    leaving: int
    leaving_bytes: int


def things(lock: Lock) -> Iterator[Thing]:
    """List what a lock names, kind by kind."""
    yield from _debs("runtime", lock.debs)
    yield from _packages("wheel", lock.wheels)
    yield from _packages("build", lock.build)
    yield from _packages("toolchain", lock.toolchain)
    yield from _debs("deb", lock.os_debs)
    for rpm in lock.rpms:
        blobs = ((rpm.sha256, rpm.size),)
        yield Thing(kind="rpm", name=rpm.name, version=rpm.version, platform=rpm.platform, blobs=blobs)
    for driver in lock.drivers:
        blobs = ((driver.file.sha256, driver.file.size),)
        name, version = driver.package.vendor, driver.package.version
        yield Thing(kind="driver", name=name, version=version, platform=driver.platform, blobs=blobs)
    for file in lock.files:
        blobs = ((file.sha256, file.size),)
        yield Thing(kind="file", name=file.to, version=file.sha256[:12], platform=None, blobs=blobs)
    for image in lock.images:
        yield Thing(
            kind="image",
            name=str(image.reference),
            version=image.manifest.sha256[:12],
            platform=image.platform,
            blobs=tuple((blob.sha256, blob.size) for blob in (*image.documents, *image.contents)),
        )
    for chart in lock.charts:
        chart_files = ((chart.file.sha256, chart.file.size), *((one.sha256, one.size) for one in chart.values))
        yield Thing(kind="chart", name=chart.name, version=chart.version, platform=None, blobs=chart_files)
    for listed in lock.upstream:
        yield Thing(
            kind="upstream",
            name=listed.path,
            version=listed.date or listed.sha256[:12],
            platform=listed.platform,
            blobs=((listed.sha256, listed.size),),
        )


def _debs(kind: str, debs: tuple[LockedDeb, ...]) -> Iterator[Thing]:
    for deb in debs:
        blobs = ((deb.sha256, deb.size),)
        yield Thing(kind=kind, name=deb.name, version=deb.version, platform=deb.platform, blobs=blobs)


def _packages(kind: str, packages: tuple[LockedPackage, ...]) -> Iterator[Thing]:
    for package in packages:
        for file in package.files:
            for platform in file.platforms:
                blobs = ((file.sha256, file.size),)
                yield Thing(kind=kind, name=package.name, version=package.version, platform=platform, blobs=blobs)


def compare(old: Lock, new: Lock) -> Comparison:
    """Compare two locks thing by thing, in the order of kinds, then of names."""
    before, after = _grouped(old), _grouped(new)
    kinds = list(dict.fromkeys(thing.kind for lock in (old, new) for thing in things(lock)))
    had, has = _blobs(old), _blobs(new)
    entering = {sha256: size for sha256, size in has.items() if sha256 not in had}
    leaving = {sha256: size for sha256, size in had.items() if sha256 not in has}
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    changed.sort(key=lambda key: (kinds.index(key[0]), key[1]))
    return Comparison(
        changes=tuple(_change(key, before.get(key, ()), after.get(key, ()), entering) for key in changed),
        entering=len(entering),
        entering_bytes=sum(entering.values()),
        leaving=len(leaving),
        leaving_bytes=sum(leaving.values()),
    )


def _grouped(lock: Lock) -> dict[tuple[str, str], tuple[Thing, ...]]:
    found: dict[tuple[str, str], tuple[Thing, ...]] = {}
    for thing in sorted(things(lock), key=lambda thing: (str(thing.platform), thing.version)):
        found[thing.kind, thing.name] = (*found.get((thing.kind, thing.name), ()), thing)
    return found


def _blobs(lock: Lock) -> dict[str, int]:
    """Return what crosses: build tools stay on the connected host."""
    return {sha256: size for thing in things(lock) if thing.kind != "build" for sha256, size in thing.blobs}


def _change(
    key: tuple[str, str], old: tuple[Thing, ...], new: tuple[Thing, ...], entering: Mapping[str, int]
) -> Change:
    blobs = {sha256: size for thing in new for sha256, size in thing.blobs if sha256 in entering}
    return Change(kind=key[0], name=key[1], old=_version(old), new=_version(new), entering_bytes=sum(blobs.values()))


def _version(group: tuple[Thing, ...]) -> str:
    """Return the version, or each platform's where they differ."""
    versions = {thing.version for thing in group}
    if len(versions) == 1:
        return versions.pop()
    return ", ".join(f"{thing.version} ({thing.platform})" for thing in group)
