"""What a driver's package is: by the catalogue, from the name of its file, and by its author's word."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bundler.accelerators.catalogue import PackageForm, Vendor
from bundler.errors import RecipeError
from bundler.model.document import describe
from bundler.model.driver import FILE, VERSION, DriverPackage
from bundler.model.driver_source import DriverSource
from bundler.model.files import LockedPath
from bundler.model.platform import PLATFORMS
from bundler.resolve.digests import Digests

_ARCHITECTURES = {"x86_64": "amd64", "x86-64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
_MAKESELF = ("sh", FILE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """What the catalogue makes of the name of a file: the form, and what the name says."""

    form: PackageForm
    groups: dict[str, str]


def architectures_of(source: DriverSource, form: Form | None) -> tuple[str, ...]:
    """Return the architectures that a package is for."""
    named = form.groups.get("machine", "") if form else ""
    if source.architectures or not named:
        return source.architectures or tuple(platform.architecture for platform in PLATFORMS)
    return (_ARCHITECTURES[named],)


def recognise(source: DriverSource, facts: Vendor, *, place: str) -> Form | None:
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
            return Form(form=form, groups={key: text for key, text in match.groupdict().items() if text})
    return None


def package_of(source: DriverSource, facts: Vendor, form: Form | None, *, place: str) -> DriverPackage:
    """Put together what the catalogue and the recipe say; the recipe wins.

    Raises:
        RecipeError: neither says enough.
    """
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


def _words(form: Form | None, key: str) -> tuple[str, ...]:
    """Return a command of the catalogue with the package's name in it."""
    words: tuple[str, ...] = getattr(form.form, key) if form else ()
    return tuple(form.groups["name"] if word == "{name}" and form else word for word in words)


def _cards(facts: Vendor, form: Form | None, *, place: str) -> tuple[str, ...]:
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


def _systems(form: Form | None) -> tuple[str, ...]:
    """Return the system that a file's name says: ubuntu20.04 is ubuntu-20.04."""
    match = re.fullmatch("([a-z]+)([0-9.]*)", form.groups.get("system", "")) if form else None
    return ("-".join(filter(None, match.groups())),) if match else ()


def file_of(
    source: DriverSource,
    directory: Path,
    digests: Digests | None,
    length: Callable[[str], int] | None,
    *,
    place: str,
) -> LockedPath:
    """Return the file, measured, with the size that its server says where the recipe gives none.

    Raises:
        RecipeError: it is not there, or not the one of its digest.
    """
    if source.url:
        size = source.size if source.size is not None else length(source.url) if length else -1
        return LockedPath(
            path="", url=source.url, to=source.file_name, size=size, sha256=source.sha256, executable=False
        )
    path = directory / source.path
    if path.is_symlink() or not path.is_file():
        raise RecipeError(f'expected a regular file, "{source.path}" is none', place=f"{place}.path")
    measured = (digests or Digests()).measure([path])[0]
    if source.size not in (None, measured.size):
        raise RecipeError(f"expected {source.size} bytes, the file has {measured.size}", place=f"{place}.size")
    if measured.sha256 != source.sha256:
        raise RecipeError(
            f"expected sha256 {source.sha256}, the file has {measured.sha256} ({measured.size} bytes)",
            place=f"{place}.sha256",
            hint="compare both with what the vendor publishes",
        )
    return LockedPath(
        path=source.path, to=source.file_name, size=measured.size, sha256=measured.sha256, executable=False
    )
