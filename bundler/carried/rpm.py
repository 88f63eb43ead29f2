"""The host's RPM packages in a bundle, the lists by which plain dnf finds them, and the keys that sign them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bundler.model.descriptor import OCTETS, RPM, Descriptor
from bundler.model.lock import Lock
from bundler.model.manifest import SIGNED, UNSIGNED, Item
from bundler.model.platform import Platform
from bundler.model.purl import generic_purl, rpm_purl
from bundler.model.rpm import LockedRpm
from bundler.rpmrepo import list_rpms
from bundler.store import Store


def carry_rpms(lock: Lock, platform: Platform, store: Store) -> Iterator[Item]:
    """Return the packages of the lock for `platform`, then the files of the repository that lists them.

    Raises:
        IntegrityError, StepError: as for `list_rpms`.
    """
    rpms = [rpm for rpm in lock.rpms if rpm.platform == platform]
    unsigned = [rpm for rpm in rpms if rpm.repository in lock.unsigned_repositories]
    signed = [rpm for rpm in rpms if rpm not in unsigned]
    yield from _repository("", signed, lock, store)
    yield from _repository(UNSIGNED, unsigned, lock, store)
    yield from _keys(lock, signed, store)


def _repository(directory: str, rpms: Sequence[LockedRpm], lock: Lock, store: Store) -> Iterator[Item]:
    listed = list_rpms(rpms, lock.rpm_keys, store, created=lock.created, unsigned=lock.unsigned_repositories)
    mark = ((SIGNED, "no"),) if directory else ()
    for rpm in rpms:
        yield Item(
            kind="rpm",
            name=rpm.file_name,
            version=rpm.version,
            purl=rpm_purl(rpm),
            descriptor=store.describe(rpm.sha256, RPM),
            source=(("package", rpm.name), ("release", rpm.release), ("repository", rpm.repository), *mark),
        )
    for name, data in listed.items():
        yield _list(f"{directory}{name}", store.put(data, OCTETS), lock, rpms)


def _list(name: str, descriptor: Descriptor, lock: Lock, rpms: Sequence[LockedRpm]) -> Item:
    return Item(
        kind="dnf",
        name=name,
        version=lock.version,
        purl=generic_purl(f"{lock.name}/dnf/{name}", lock.version),
        descriptor=descriptor,
        lineage=tuple(rpm_purl(rpm) for rpm in rpms),
    )


def _keys(lock: Lock, rpms: Sequence[LockedRpm], store: Store) -> Iterator[Item]:
    """Return each key once, called by its digest."""
    taken = {rpm.repository for rpm in rpms}
    for text in sorted({key.text for key in lock.rpm_keys if key.repository in taken}):
        descriptor = store.put(text.encode(), OCTETS)
        name = f"keys/{descriptor.sha256[:16]}.asc"
        yield Item(
            kind="dnf",
            name=name,
            version=lock.version,
            purl=generic_purl(f"{lock.name}/dnf/{name}", lock.version),
            descriptor=descriptor,
        )
