"""Drivers in a recipe and in a lock: where their packages come from, and what their author says of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from bundler.model.document import LINE, LINE_WORDS, Fields, describe
from bundler.model.driver import (
    DEVICE,
    DEVICE_WORDS,
    FILE,
    FILE_NAME,
    FILE_NAME_WORDS,
    KERNELS,
    KERNELS_WORDS,
    SYSTEM,
    SYSTEM_WORDS,
    VENDOR,
    VENDOR_WORDS,
    VENDORS,
    VERSION,
    VERSION_WORDS,
    WORD,
    WORD_WORDS,
    DriverPackage,
    command,
    driver_package,
    driver_package_document,
)
from bundler.model.files import LockedPath, locked_path, locked_path_document, public_url, source_path
from bundler.model.platform import PLATFORMS, Platform, parse_platform

_ARCHITECTURES = tuple(platform.architecture for platform in PLATFORMS)


UNUSED = "unused"


@dataclass(frozen=True, kw_only=True, slots=True)
class StatedNeed:
    """What a recipe says that its payload was built for; `minor` takes what runs it with a loss.

    `what` is UNUSED where the payload does not use the vendor's cards, whatever its wheels were built for.
    """

    vendor: str
    what: str
    version: str
    minor: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class DriverSource:
    """A vendor's package, from `path` or `url`, by its digest.

    All behind `size` is for one that the catalogue does not know, or to narrow what the catalogue says: empty or None
    leaves it to the catalogue. `install` are the words behind the package's name.
    """

    vendor: str
    sha256: str
    path: str = ""
    outside: bool = False
    url: str = ""
    size: int | None = None
    version: str = ""
    architectures: tuple[str, ...] = ()
    cards: tuple[str, ...] = ()
    kernels: str = ""
    systems: tuple[str, ...] = ()
    install: tuple[str, ...] | None = None
    uninstall: tuple[str, ...] = ()
    needs_headers: bool | None = None
    signed: bool = False
    reboot: bool | None = None

    @property
    def file_name(self) -> str:
        """The name of the package's file."""
        return PurePosixPath(unquote(urlsplit(self.url).path) if self.url else self.path).name


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedDriver:
    """A driver for one platform: its file, and what it is; `targets` are the hosts that it was chosen for."""

    file: LockedPath
    platform: Platform
    package: DriverPackage
    targets: tuple[str, ...] = ()


def driver_source(fields: Fields) -> DriverSource:
    """Take one driver from a recipe."""
    if fields.has("url") and fields.has("path"):
        raise fields.refuse("url", 'expected one of path, url, "path" is there too')
    is_url = fields.has("url")
    outside = False if is_url else fields.flag("outside", False)
    source = DriverSource(
        vendor=fields.text("vendor", match=VENDOR, what=VENDOR_WORDS),
        path="" if is_url else source_path(fields, outside=outside),
        outside=outside,
        url=public_url(fields) if is_url else "",
        sha256=fields.hex("sha256"),
        size=fields.integer("size", least=1) if fields.has("size") else None,
        version=fields.text("version", "", match=VERSION, what=VERSION_WORDS),
        architectures=fields.texts(
            "architectures", [], match="|".join(_ARCHITECTURES), what=" or ".join(_ARCHITECTURES)
        ),
        cards=fields.texts("cards", [], match=DEVICE, what=DEVICE_WORDS),
        kernels=fields.text("kernels", "", match=KERNELS, what=KERNELS_WORDS),
        systems=fields.texts("systems", [], match=SYSTEM, what=SYSTEM_WORDS),
        install=fields.texts("install", match=WORD, what=WORD_WORDS) if fields.has("install") else None,
        uninstall=command(fields, "uninstall", []),
        needs_headers=fields.flag("needs_headers") if fields.has("needs_headers") else None,
        signed=fields.flag("signed", False),
        reboot=fields.flag("reboot") if fields.has("reboot") else None,
    )
    _check_name(fields, source)
    if FILE in (source.install or ()):
        raise fields.refuse("install", f'expected the words behind the package\'s name, without "{FILE}"')
    return source


def _check_name(fields: Fields, source: DriverSource) -> None:
    """Refuse a name that could not be a file and an argument on the host."""
    if not re.fullmatch(FILE_NAME, source.file_name):
        key = "url" if source.url else "path"
        raise fields.refuse(key, f"expected {FILE_NAME_WORDS}, got {describe(source.file_name)}")


def stated_needs(fields: Fields) -> tuple[StatedNeed, ...]:
    """Take `accelerators` of a recipe: what its payload was built for, vendor by vendor.

    Raises:
        the error of `fields`: the field that is wrong.
    """
    found: list[StatedNeed] = []
    whole = fields.mapping("accelerators", {})
    for name, (_, whats) in VENDORS.items():
        if not whole.has(name):
            continue
        one = whole.mapping(name)
        if one.has(UNUSED) and one.flag(UNUSED):
            found.append(StatedNeed(vendor=name, what=UNUSED, version=""))
            one.close()
            continue
        minor = one.flag("minor_compatibility", False) if name == "nvidia" else False
        for what in whats:
            if one.has(what):
                version = one.text(what, match=VERSION, what='a version in quotes, such as "12.4"')
                found.append(StatedNeed(vendor=name, what=what, version=version, minor=minor))
        one.close()
        if all(need.vendor != name for need in found):
            raise whole.refuse(name, f"expected one of {', '.join(whats)}, got nothing")
    whole.close()
    return tuple(found)


def locked_driver(fields: Fields) -> LockedDriver:
    """Take one driver from a lock."""
    package = fields.mapping("package")
    file = locked_path(fields)
    if not re.fullmatch(FILE_NAME, file.to):
        raise fields.refuse("to", f"expected {FILE_NAME_WORDS}, got {describe(file.to)}")
    driver = LockedDriver(
        file=file,
        platform=parse_platform(fields.text("platform"), place=fields.place("platform")),
        package=driver_package(package),
        targets=fields.texts("targets", [], match=LINE, what=LINE_WORDS),
    )
    package.close()
    return driver


def locked_driver_document(driver: LockedDriver) -> dict[str, Any]:
    """Return a driver as it stands in a lock."""
    document = locked_path_document(driver.file) | {"platform": str(driver.platform)}
    document |= {"targets": list(driver.targets)} if driver.targets else {}
    return document | {"package": driver_package_document(driver.package)}
