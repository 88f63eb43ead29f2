"""Vendors' drivers in a bundle: their packages as they are, with what a host needs to know of each."""

from __future__ import annotations

from collections.abc import Iterator

from bundler.model.descriptor import OCTETS
from bundler.model.lock import Lock
from bundler.model.manifest import Item
from bundler.model.platform import Platform
from bundler.model.purl import generic_purl
from bundler.store import Store


def carry_drivers(lock: Lock, platform: Platform, store: Store) -> Iterator[Item]:
    """Return the drivers of the lock for `platform`."""
    for driver in lock.drivers:
        if driver.platform == platform:
            file, package = driver.file, driver.package
            name = f"{package.vendor}-driver"
            source = (("package", name), *((("url", file.url),) if file.url else ()))
            yield Item(
                kind="driver",
                name=file.to,
                version=package.version,
                purl=generic_purl(f"{package.vendor}/{name}", package.version, arch=platform.debian),
                descriptor=store.describe(file.sha256, OCTETS),
                source=source,
                driver=package,
            )
