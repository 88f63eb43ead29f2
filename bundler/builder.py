"""What this host needs besides a bundle's own parts, to build wheels for another platform."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bundler.compose import builder_platform
from bundler.fetch import fetch
from bundler.model.lock import Lock
from bundler.model.platform import Platform
from bundler.model.progress import Progress
from bundler.model.wheel import LockedPackage
from bundler.store import Store


def built_packages(lock: Lock, platform: Platform) -> tuple[LockedPackage, ...]:
    """Return the packages of the payload that a wheel must be built of for `platform`."""
    return tuple(one for one in lock.wheels if (file := one.file_for(platform)) is not None and file.is_sdist)


def fetch_for_builder(lock: Lock, platform: Platform, store: Store, *, directory: Path, progress: Progress) -> None:
    """Bring the Python runtime of this host and what sdists are built with, if any is.

    Raises:
        TransferError, IntegrityError, ResolveError: as for `bundler.fetch`.
    """
    here = builder_platform()
    if here != platform and built_packages(lock, platform):
        tools = replace(lock, wheels=(), toolchain=(), files=(), images=(), os_debs=())
        fetch(tools, here, store, directory=directory, progress=progress)
