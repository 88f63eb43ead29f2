"""A lock: what exactly answers a recipe, file by file, with no host name in it."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from bundler.model.deb import SUITE, SUITE_WORDS, LockedDeb, locked_deb, locked_deb_document, locked_os_deb
from bundler.model.document import LINE, LINE_WORDS, Fields
from bundler.model.driver import DriverNeed, driver_need, driver_need_document
from bundler.model.driver_source import LockedDriver, locked_driver, locked_driver_document
from bundler.model.files import LockedPath, locked_path, locked_path_document
from bundler.model.image import LockedImage, locked_image, locked_image_document
from bundler.model.lockedchart import LockedChart, locked_chart, locked_chart_document
from bundler.model.platform import Platform, take_platforms
from bundler.model.python import MINOR, MINOR_WORDS
from bundler.model.recipe import DATE, NAME, NAME_WORDS, VERSION
from bundler.model.rpm import (
    REPOSITORY,
    REPOSITORY_WORDS,
    LockedRpm,
    LockedRpmKey,
    locked_rpm,
    locked_rpm_document,
    locked_rpm_key,
    locked_rpm_key_document,
)
from bundler.model.upstream import LockedIndex, locked_index, locked_index_document
from bundler.model.wheel import LockedInput, LockedPackage, locked_input, locked_package, locked_package_document

FORMAT = "ferry/lock/v1"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedTarget:
    """An isolated host that a lock was checked against; the SHA-256 is that of its description."""

    name: str
    os: str
    version: str
    machine: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """What a recipe resolved to, for every platform it names.

    `created` is the moment of resolution (RFC 3339, UTC, seconds); every date in a bundle comes from it.
    `toolchain` are the wheels of the installer itself, `build` those that sdists are built with;
    `debs` make the Python runtime, `os_debs` and `rpms` are installed on the isolated host; `rpm_keys` sign the
    latter, but for those of `unsigned_repositories`. `accelerators` is what the payload asks of drivers, `drivers` the
    packages that are carried for hosts that have less. `requirements` are the files of requirements and constraints
    that the wheels were resolved from.
    """

    name: str
    version: str
    recipe_sha256: str
    as_of: str
    created: str
    python_version: str
    python_suite: str
    platforms: tuple[Platform, ...]
    debs: tuple[LockedDeb, ...]
    wheels: tuple[LockedPackage, ...]
    build: tuple[LockedPackage, ...]
    toolchain: tuple[LockedPackage, ...]
    files: tuple[LockedPath, ...]
    sha256: str
    sm3: str
    images: tuple[LockedImage, ...] = ()
    targets: tuple[LockedTarget, ...] = ()
    os_debs: tuple[LockedDeb, ...] = ()
    charts: tuple[LockedChart, ...] = ()
    upstream: tuple[LockedIndex, ...] = ()
    rpms: tuple[LockedRpm, ...] = ()
    rpm_keys: tuple[LockedRpmKey, ...] = ()
    unsigned_repositories: tuple[str, ...] = ()
    drivers: tuple[LockedDriver, ...] = ()
    accelerators: tuple[DriverNeed, ...] = ()
    requirements: tuple[LockedInput, ...] = ()

    def paths(self, platform: Platform) -> tuple[LockedPath, ...]:
        """Return every file that a bundle for `platform` carries from a path or a URL."""
        charts = (file for chart in self.charts for file in chart.files)
        return (*self.files, *charts, *(driver.file for driver in self.drivers if driver.platform == platform))


def parse_lock(fields: Fields, *, sha256: str, sm3: str) -> Lock:
    """Take a lock from its document; the digests are those of its file.

    Raises:
        the error of `fields`: the field that is wrong.
    """
    fields.text("format", match=re.escape(FORMAT), what=f'"{FORMAT}"')
    python = fields.mapping("python")
    lock = Lock(
        name=fields.text("name", match=NAME, what=NAME_WORDS),
        version=fields.text("version", match=VERSION),
        recipe_sha256=fields.hex("recipe_sha256"),
        as_of=fields.moment("as_of", form=DATE, what="a date like 2026-01-31"),
        created=fields.moment("created", form=_TIME, what="a time like 2026-01-31T00:00:00Z"),
        platforms=take_platforms(fields),
        python_version=python.text("version", match=MINOR, what=MINOR_WORDS),
        python_suite=python.text("suite", match=SUITE, what=SUITE_WORDS),
        debs=python.each("debs", locked_deb),
        wheels=fields.each("wheels", locked_package),
        build=fields.each("build", locked_package),
        toolchain=fields.each("toolchain", locked_package),
        files=fields.each("files", locked_path),
        images=fields.each("images", locked_image, []),
        targets=fields.each("targets", _locked_target, []),
        os_debs=fields.each("os_debs", locked_os_deb, []),
        charts=fields.each("charts", locked_chart, []),
        upstream=fields.each("upstream", locked_index, []),
        rpms=fields.each("rpms", locked_rpm, []),
        rpm_keys=fields.each("rpm_keys", locked_rpm_key, []),
        unsigned_repositories=fields.texts("unsigned_repositories", [], match=REPOSITORY, what=REPOSITORY_WORDS),
        drivers=fields.each("drivers", locked_driver, []),
        accelerators=fields.each("accelerators", driver_need, []),
        requirements=fields.each("requirements", locked_input, []),
        sha256=sha256,
        sm3=sm3,
    )
    python.close()
    fields.close()
    return lock


def _locked_target(fields: Fields) -> LockedTarget:
    return LockedTarget(
        name=fields.text("name", match=LINE, what=LINE_WORDS),
        os=fields.text("os", match=LINE, what=LINE_WORDS),
        version=fields.text("version", match=LINE, what=LINE_WORDS),
        machine=fields.text("machine", match=LINE, what=LINE_WORDS),
        sha256=fields.hex("sha256"),
    )


def lock_document(lock: Lock) -> dict[str, Any]:
    """Return a lock as it is written."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "name": lock.name,
        "version": lock.version,
        "recipe_sha256": lock.recipe_sha256,
        "as_of": lock.as_of,
        "created": lock.created,
        "platforms": [str(platform) for platform in lock.platforms],
        "python": {
            "version": lock.python_version,
            "suite": lock.python_suite,
            "debs": [locked_deb_document(deb) for deb in lock.debs],
        },
        "wheels": [locked_package_document(package) for package in lock.wheels],
        "build": [locked_package_document(package) for package in lock.build],
        "toolchain": [locked_package_document(package) for package in lock.toolchain],
        "files": [locked_path_document(file) for file in lock.files],
    }
    if lock.requirements:
        document["requirements"] = [asdict(one) for one in lock.requirements]
    if lock.images:
        document["images"] = [locked_image_document(image) for image in lock.images]
    if lock.charts:
        document["charts"] = [locked_chart_document(chart) for chart in lock.charts]
    if lock.os_debs:
        document["os_debs"] = [locked_deb_document(deb) for deb in lock.os_debs]
    if lock.upstream:
        document["upstream"] = [locked_index_document(index) for index in lock.upstream]
    if lock.rpms:
        document["rpms"] = [locked_rpm_document(rpm) for rpm in lock.rpms]
        document["rpm_keys"] = [locked_rpm_key_document(key) for key in lock.rpm_keys]
    if lock.unsigned_repositories:
        document["unsigned_repositories"] = list(lock.unsigned_repositories)
    if lock.drivers:
        document["drivers"] = [locked_driver_document(driver) for driver in lock.drivers]
    if lock.accelerators:
        document["accelerators"] = [driver_need_document(need) for need in lock.accelerators]
    if lock.targets:
        document["targets"] = [asdict(target) for target in lock.targets]
    return document
