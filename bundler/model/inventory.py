"""What a lock lets into the zone, thing by thing, and how two locks differ in that."""

from __future__ import annotations

from collections.abc import Iterator

from bundler.model.deb import LockedDeb
from bundler.model.difference import Comparison, Thing, compare_things
from bundler.model.lock import Lock
from bundler.model.wheel import LockedPackage


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
    """Compare two locks thing by thing; build tools stay on the connected host and enter nothing."""
    return compare_things(list(things(old)), list(things(new)), staying="build")
