"""The Python runtime: Debian packages, each with its digest, that make a tree which runs on older hosts."""

from __future__ import annotations

import tempfile
from pathlib import Path

from bundler.apt import Apt, file_parts, pool_path
from bundler.errors import ResolveError, StepError
from bundler.model.deb import LockedDeb
from bundler.model.needs import reasons
from bundler.model.platform import Platform
from bundler.model.python import PythonSource

# Dependencies of maintainer scripts, which a relocatable tree never runs.
_NOT_NEEDED = frozenset({"debconf", "debianutils", "dpkg", "gcc-12-base", "openssl", "readline-common", "tar"})


def resolve_python(source: PythonSource, platforms: tuple[Platform, ...]) -> tuple[LockedDeb, ...]:
    """Return the closure of the runtime's packages for each platform, sorted by platform and name.

    Raises:
        ResolveError: this host has no apt, or its sources do not have the packages.
    """
    found: list[LockedDeb] = []
    for platform in platforms:
        with tempfile.TemporaryDirectory(prefix="ferry-apt-") as directory:
            found += _closure(source, platform, Path(directory))
    return tuple(sorted(found, key=lambda deb: (str(deb.platform), deb.name)))


def _closure(source: PythonSource, platform: Platform, directory: Path) -> list[LockedDeb]:
    apt = Apt(directory, platform.debian)
    try:
        apt.update()
        debs = closure_debs(apt, source.packages, platform)
    except StepError as error:
        raise ResolveError(
            f"apt found no {', '.join(source.packages)} for {platform}: {error.message}",
            place="python.packages",
            hint=f"the apt sources of this host must offer {source.suite}",
        ) from error
    return [deb for deb in debs if deb.name not in _NOT_NEEDED]


def closure_debs(apt: Apt, packages: tuple[str, ...], platform: Platform, suite: str = "") -> list[LockedDeb]:
    """Return what a lock records of every package that the host lacks for `packages`.

    Raises:
        StepError, ResolveError: as apt says.
    """
    entries = apt.closure(packages)
    control = apt.show(entries)
    why = reasons(control, packages)
    return [_deb(entry, control, why, platform, suite) for entry in entries]


def _deb(
    entry: dict[str, str],
    control: dict[str, dict[str, str]],
    why: dict[str, tuple[str, ...]],
    platform: Platform,
    suite: str,
) -> LockedDeb:
    name, version, architecture = file_parts(entry["file"])
    kibibytes = control.get(name, {}).get("Installed-Size", "")
    return LockedDeb(
        name=name,
        version=version,
        architecture=architecture,
        path=pool_path(entry["uri"]),
        size=int(entry["size"]),
        sha256=entry["sha256"],
        platform=platform,
        suite=suite,
        why=why.get(name, ()),
        installed_bytes=int(kibibytes) * 1024 if kibibytes.isdecimal() else 0,
    )
