"""Debian packages for the isolated host: what it lacks, by apt itself, for what it has."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bundler.apt import Apt, file_parts
from bundler.errors import ResolveError, StepError
from bundler.model.deb import DebSource, LockedDeb
from bundler.model.platform import Platform
from bundler.model.target import Package, Target
from bundler.resolve.python import closure_debs


def resolve_debs(
    sources: tuple[DebSource, ...], platforms: tuple[Platform, ...], hosts: tuple[Target, ...]
) -> tuple[LockedDeb, ...]:
    """Return what the described hosts lack for the packages, sorted by platform, suite, name and version.

    For a platform without a host of the suite, or with one whose packages are not known, the suite's minimal system
    counts as installed.

    Raises:
        ResolveError: this host has no apt, its sources do not have the packages, or a host that needs them takes none.
    """
    if any(source.needed for source in sources):
        for host in hosts:
            _check_host(host, sorted({source.suite for source in sources}))
    found: set[LockedDeb] = set()
    optional = {source.suite for source in sources if not source.needed}
    for suite in sorted({source.suite for source in sources}):
        packages = tuple(name for source in sources if source.suite == suite for name in source.packages)
        for platform in platforms:
            with tempfile.TemporaryDirectory(prefix="ferry-apt-") as directory:
                apt = Apt(Path(directory), platform.debian, suite)
                missing = _missing(apt, suite, packages, platform, _known(hosts, suite, platform))
                found |= {replace(deb, optional=suite in optional) for deb in missing}
    return tuple(sorted(found, key=lambda deb: (str(deb.platform), deb.suite, deb.name, deb.version)))


def _check_host(host: Target, suites: list[str]) -> None:
    if host.package_manager is not None and host.package_format != "deb":
        raise ResolveError(
            f"expected a host with dpkg, {host.name} has {host.package_manager}",
            place="debs",
            hint="leave debs out of the recipe for this host, or say that they are not needed",
        )
    if host.os.codename is not None and host.os.codename not in suites:
        named = " or ".join(f'"{suite}"' for suite in suites)
        raise ResolveError(f'expected a host of {named}, {host.name} is of "{host.os.codename}"', place="debs.suite")


def _known(hosts: tuple[Target, ...], suite: str, platform: Platform) -> list[tuple[Package, ...] | None]:
    """Return what is installed on each host of a suite and platform, None for what is not known."""
    of_suite = [host for host in hosts if host.platform == platform and host.os.codename in (None, suite)]
    return [host.packages for host in of_suite] or [None]


def _missing(
    apt: Apt,
    suite: str,
    packages: tuple[str, ...],
    platform: Platform,
    known: Sequence[tuple[Package, ...] | None],
) -> set[LockedDeb]:
    found: dict[str, LockedDeb] = {}
    try:
        apt.update()
        minimal = _minimal(apt) if None in known else ()
        for installed in known:
            given = minimal if installed is None else installed
            apt.assume(one for one in given if one.architecture in (platform.debian, "all"))
            for deb in closure_debs(apt, packages, platform, suite):
                known_deb = found.get(deb.file_name)
                why = {*deb.why, *(known_deb.why if known_deb else ())}
                found[deb.file_name] = replace(deb, why=tuple(sorted(why)))
    except StepError as error:
        raise ResolveError(
            f"apt found no {', '.join(packages)} of {suite} for {platform}: {error.message}",
            place="debs",
            hint=f"the apt sources of this host must offer {suite}",
        ) from error
    return set(found.values())


def _minimal(apt: Apt) -> tuple[Package, ...]:
    parts = [file_parts(entry["file"]) for entry in apt.minimal()]
    return tuple(Package(name=name, version=version, architecture=arch) for name, version, arch in parts)
