"""The host's Debian packages in a bundle, and the lists by which plain apt-get finds them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bundler.aptrepo import list_debs
from bundler.model.deb import LockedDeb
from bundler.model.descriptor import DEB, OCTETS
from bundler.model.lock import Lock
from bundler.model.manifest import Item
from bundler.model.platform import Platform
from bundler.model.purl import deb_purl, generic_purl
from bundler.store import Store


def carry_debs(lock: Lock, platform: Platform, store: Store) -> Iterator[Item]:
    """Return the packages of the lock for `platform`, then the files of the repository that lists them.

    Raises:
        IntegrityError, StepError: as for `list_debs`.
    """
    debs = [deb for deb in lock.os_debs if deb.platform == platform]
    for deb in debs:
        yield Item(
            kind="deb",
            name=deb.file_name,
            version=deb.version,
            purl=deb_purl(deb, deb.suite),
            descriptor=store.describe(deb.sha256, DEB),
            source=_source(deb),
            optional=deb.optional,
        )
    for suite in sorted({deb.suite for deb in debs}):
        yield from _repository(suite, [deb for deb in debs if deb.suite == suite], lock, platform, store)


def _source(deb: LockedDeb) -> tuple[tuple[str, str], ...]:
    installed = {"installed_bytes": str(deb.installed_bytes)} if deb.installed_bytes else {}
    why = {"why": " ".join(deb.why)} if deb.why else {}
    return tuple({**installed, "package": deb.name, "suite": deb.suite, **why}.items())


def _repository(suite: str, debs: Sequence[LockedDeb], lock: Lock, platform: Platform, store: Store) -> Iterator[Item]:
    listed = list_debs(debs, store, created=lock.created, architecture=platform.debian)
    for name, data in listed.items():
        yield Item(
            kind="apt",
            name=name,
            version=lock.version,
            purl=generic_purl(f"{lock.name}/apt/{suite}/{name}", lock.version),
            descriptor=store.put(data, OCTETS),
            source=(("suite", suite),),
            lineage=tuple(deb_purl(deb, suite) for deb in debs),
            optional=all(deb.optional for deb in debs),
        )
