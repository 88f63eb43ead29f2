"""Drivers: what the payload needs, and which of the packages each host gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from bundler.accelerators.catalogue import vendor
from bundler.accelerators.decide import Decision, decide, is_enough, told_need
from bundler.accelerators.need import Requirement, needs_of, requirements_of
from bundler.errors import RecipeError, ResolveError
from bundler.model.deb import LockedDeb
from bundler.model.driver import VENDORS, DriverNeed, version_key
from bundler.model.driver_source import UNUSED, DriverSource, LockedDriver, StatedNeed
from bundler.model.platform import Platform
from bundler.model.target import Target
from bundler.model.wheel import LockedPackage
from bundler.resolve.digests import Digests
from bundler.resolve.driver_package import architectures_of, file_of, package_of, recognise
from bundler.resolve.host import machine_of


def resolve_needs(stated: tuple[StatedNeed, ...], wheels: Sequence[LockedPackage]) -> tuple[DriverNeed, ...]:
    """Return what the payload asks of drivers: what the recipe says, and what its wheels were built for.

    Raises:
        ResolveError: the catalogue does not know a version.
    """
    unused = {one.vendor for one in stated if one.what == UNUSED}
    said = [
        Requirement(vendor=one.vendor, what=one.what, version=one.version, minor=one.minor)
        for one in stated
        if one.what != UNUSED
    ]
    told = requirements_of((package.name, package.version) for package in wheels)
    return needs_of(said, [one for one in told if one.vendor not in unused])


def resolve_drivers(
    sources: tuple[DriverSource, ...],
    needs: tuple[DriverNeed, ...],
    directory: Path,
    platforms: tuple[Platform, ...],
    hosts: tuple[Target, ...],
    os_debs: Sequence[LockedDeb],
    *,
    digests: Digests | None = None,
    length: Callable[[str], int] | None = None,
) -> tuple[LockedDriver, ...]:
    """Return the drivers to carry, sorted by platform, vendor and version.

    For a host that is described, that is the newest that fits for each of its vendors, unless it has one that is
    enough; on a platform without a described host, all that the recipe names.

    Raises:
        RecipeError: a package is not there, is not the one of its digest, or nobody knows what it is.
        ResolveError: a host lacks a driver, and none that is named can be installed there.
    """
    candidates = [
        locked
        for index, source in enumerate(sources)
        for locked in _candidates(source, directory, platforms, digests, length, place=f"drivers[{index}]")
    ]
    chosen: dict[tuple[str, str], LockedDriver] = {}
    for platform in platforms:
        here = [driver for driver in candidates if driver.platform == platform]
        described = [host for host in hosts if host.platform == platform]
        found = [pick for host in described for pick in _for_host(host, here, needs, os_debs)]
        for driver in found if described else _all(here, needs):
            key = (str(platform), driver.file.sha256)
            before = chosen.get(key, replace(driver, targets=()))
            chosen[key] = replace(driver, targets=tuple(sorted({*before.targets, *driver.targets})))
    return tuple(sorted(chosen.values(), key=_order))


def _order(driver: LockedDriver) -> tuple[object, ...]:
    package = driver.package
    return str(driver.platform), package.vendor, version_key(package.version), driver.file.sha256


def _for_host(
    host: Target, candidates: Sequence[LockedDriver], needs: Sequence[DriverNeed], os_debs: Sequence[LockedDeb]
) -> list[LockedDriver]:
    """Return the driver that each vendor's cards in a host get; all that there are where its cards are not known."""
    found = []
    for name in VENDORS:
        mine = [driver for driver in candidates if driver.package.vendor == name]
        need = next((need for need in needs if need.vendor == name), None)
        machine = machine_of(host, name, os_debs)
        decision = decide(name, machine, need, [driver.package for driver in mine])
        if decision is None:
            continue
        check_decision(decision, host)
        picks = mine if machine.devices is None else [] if decision.chosen is None else [mine[decision.chosen]]
        found += [replace(driver, targets=(host.name,)) for driver in picks]
    return found


def check_decision(decision: Decision, host: Target) -> None:
    """Refuse a host whose cards the payload could not use.

    Raises:
        ResolveError: the exact gap.
    """
    if decision.gap:
        title = vendor(decision.vendor).title
        raise ResolveError(f"{host.name}, {title}: {decision.gap}", place="drivers", hint=decision.hint)


def _all(candidates: Sequence[LockedDriver], needs: Sequence[DriverNeed]) -> Sequence[LockedDriver]:
    """Return every driver; refuse those that the payload does not work with: they would be carried for nothing."""
    for need in needs:
        old = [one.package for one in candidates if one.package.vendor == need.vendor]
        old = [package for package in old if not is_enough(package.version, need)]
        if old:
            raise ResolveError(
                f"{need.vendor} driver {old[0].version} is too old, the payload needs {need.minimum} or newer: "
                f"{told_need(need)}",
                place="drivers",
                hint="name a newer one, or leave it out",
            )
    return candidates


def _candidates(
    source: DriverSource,
    directory: Path,
    platforms: tuple[Platform, ...],
    digests: Digests | None,
    length: Callable[[str], int] | None,
    *,
    place: str,
) -> list[LockedDriver]:
    facts = vendor(source.vendor)
    form = recognise(source, facts, place=place)
    package = package_of(source, facts, form, place=place)
    file = file_of(source, directory, digests, length, place=place)
    found = [
        LockedDriver(file=file, platform=platform, package=package)
        for platform in platforms
        if platform.architecture in architectures_of(source, form)
    ]
    if not found:
        wanted = " or ".join(architectures_of(source, form))
        raise RecipeError(
            f"the driver is for {wanted}, the recipe for {' and '.join(map(str, platforms))}",
            place=place,
            hint="leave it out, or add its platform",
        )
    return found
