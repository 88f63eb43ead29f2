"""Drivers: what each package is, by the catalogue and its author's word, and which one each host gets."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bundler.accelerators.catalogue import PackageForm, Vendor, vendor
from bundler.accelerators.decide import Decision, decide, is_enough, told_need
from bundler.accelerators.need import Requirement, needs_of, requirements_of
from bundler.errors import RecipeError, ResolveError
from bundler.model.deb import LockedDeb
from bundler.model.document import describe
from bundler.model.driver import FILE, VENDORS, VERSION, DriverNeed, DriverPackage, version_key
from bundler.model.driver_source import UNUSED, DriverSource, LockedDriver, StatedNeed
from bundler.model.files import LockedPath
from bundler.model.platform import PLATFORMS, Platform
from bundler.model.target import Target
from bundler.model.wheel import LockedPackage
from bundler.resolve.digests import Digests
from bundler.resolve.host import machine_of

_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_MAKESELF = ("sh", FILE)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Form:
    """What the catalogue makes of the name of a file: the form, and what the name says."""

    form: PackageForm
    groups: dict[str, str]


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
    form = _recognise(source, facts, place=place)
    package = _package(source, facts, form, place=place)
    file = _file(source, directory, digests, length, place=place)
    found = [
        LockedDriver(file=file, platform=platform, package=package)
        for platform in platforms
        if platform.architecture in _architectures(source, form)
    ]
    if not found:
        wanted = " or ".join(_architectures(source, form))
        raise RecipeError(
            f"the driver is for {wanted}, the recipe for {' and '.join(map(str, platforms))}",
            place=place,
            hint="leave it out, or add its platform",
        )
    return found


def _architectures(source: DriverSource, form: _Form | None) -> tuple[str, ...]:
    named = form.groups.get("machine", "") if form else ""
    if source.architectures or not named:
        return source.architectures or tuple(platform.architecture for platform in PLATFORMS)
    return (_ARCHITECTURES[named],)


def _recognise(source: DriverSource, facts: Vendor, *, place: str) -> _Form | None:
    """Return what the catalogue knows of a file by its name; None for one that its author describes.

    Raises:
        RecipeError: it is something else than a driver.
    """
    name = source.file_name
    for archive in facts.archives:
        if archive.sha256 == source.sha256 or archive.name == name:
            raise RecipeError(
                f'"{archive.name}" is the archive in which {facts.title} gives driver and firmware',
                place=place,
                hint="unpack it, check the vendor's signature beside it, and name the -npu-driver_*.run within",
            )
    for other in facts.others:
        if other.pattern.fullmatch(name):
            raise RecipeError(f'"{name}" is {other.name}, not a driver', place=place, hint=other.hint)
    for form in facts.packages:
        if match := form.pattern.fullmatch(name):
            return _Form(form=form, groups={key: text for key, text in match.groupdict().items() if text})
    return None


def _package(source: DriverSource, facts: Vendor, form: _Form | None, *, place: str) -> DriverPackage:
    """Put together what the catalogue and the recipe say; the recipe wins."""
    missing = [name for name, given in (("version", source.version), ("install", source.install)) if not given]
    if form and not form.form.install and source.install is None:
        raise RecipeError(
            f"nobody knows how {describe(source.file_name)} is installed without questions",
            place=place,
            hint='say the words behind its name that the vendor documents: install: ["--silent"]',
        )
    if form is None and missing:
        raise RecipeError(
            f"{describe(source.file_name)} is none of {facts.title}'s packages that the catalogue knows",
            place=place,
            hint=f"keep the vendor's name of the file, or say {' and '.join(missing)} beside it",
        )
    version = source.version or (form.groups["version"] if form else "")
    if not re.fullmatch(VERSION, version):
        raise RecipeError(f"expected a version in the file's name, got {describe(version)}", place=place)
    known = form.form if form else None
    return DriverPackage(
        vendor=source.vendor,
        version=version,
        install=_MAKESELF + source.install if source.install is not None else _words(form, "install"),
        upgrade=() if source.install is not None else _words(form, "upgrade"),
        uninstall=source.uninstall or (() if source.install is not None else _words(form, "uninstall")),
        cards=source.cards or _cards(facts, form, place=place),
        kernels=source.kernels,
        systems=source.systems or _systems(form),
        headers=source.needs_headers if source.needs_headers is not None else True,
        tools=known.tools if known else ("gcc", "make"),
        conflicts=known.conflicts if known else (),
        signed=source.signed,
        reboot=source.reboot if source.reboot is not None else bool(known and known.reboot),
        statuses=known.statuses if known and source.install is None else ("0",),
    )


def _words(form: _Form | None, key: str) -> tuple[str, ...]:
    """Return a command of the catalogue with the package's name in it."""
    words: tuple[str, ...] = getattr(form.form, key) if form else ()
    return tuple(form.groups["name"] if word == "{name}" and form else word for word in words)


def _cards(facts: Vendor, form: _Form | None, *, place: str) -> tuple[str, ...]:
    family = form.groups.get("family", "").lower() if form else ""
    if not family:
        return ()
    devices = tuple(sorted(card.device for card in facts.cards if card.family == family))
    if not devices:
        raise RecipeError(
            f'the catalogue knows no cards of the family "{family}"',
            place=place,
            hint='say their numbers on PCI: cards: ["d802"]',
        )
    return devices


def _systems(form: _Form | None) -> tuple[str, ...]:
    """Return the system that a file's name says: ubuntu20.04 is ubuntu-20.04."""
    match = re.fullmatch("([a-z]+)([0-9.]*)", form.groups.get("system", "")) if form else None
    return ("-".join(filter(None, match.groups())),) if match else ()


def _file(
    source: DriverSource,
    directory: Path,
    digests: Digests | None,
    length: Callable[[str], int] | None,
    *,
    place: str,
) -> LockedPath:
    if source.url:
        size = source.size if source.size is not None else length(source.url) if length else -1
        return LockedPath(
            path="", url=source.url, to=source.file_name, size=size, sha256=source.sha256, executable=False
        )
    path = directory / source.path
    if path.is_symlink() or not path.is_file():
        raise RecipeError(f'expected a regular file, "{source.path}" is none', place=f"{place}.path")
    measured = (digests or Digests()).measure([path])[0]
    if (measured.sha256, measured.size) != (source.sha256, source.size or measured.size):
        raise RecipeError(
            f"expected sha256 {source.sha256}, the file has {measured.sha256} ({measured.size} bytes)",
            place=f"{place}.sha256",
            hint="compare both with what the vendor publishes",
        )
    return LockedPath(
        path=source.path, to=source.file_name, size=measured.size, sha256=measured.sha256, executable=False
    )
