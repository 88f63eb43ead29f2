"""Python packages: exact versions as of a date, and the one file of each that serves each platform."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from packaging.markers import Environment
from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock, PylockSelectError
from packaging.tags import Tag, compatible_tags, cpython_tags

from bundler import uv
from bundler.errors import ResolveError
from bundler.model.platform import Platform
from bundler.model.recipe import Recipe
from bundler.model.wheel import LockedFile, LockedPackage

# The runtime brings its own C library, so wheels are chosen for that and not for the host's.
GLIBC_OF_SUITE = {"bullseye": (2, 31), "bookworm": (2, 36), "trixie": (2, 41)}
_OLDEST_GLIBC = 5


def resolve_wheels(
    requirements: tuple[str, ...], recipe: Recipe, *, what: str, kept: tuple[str, ...] = ()
) -> tuple[LockedPackage, ...]:
    """Resolve requirements for all platforms of a recipe; `what` names the field in messages.

    `kept` are exact pins (`name==version`) of what must not move, whether or not it is needed.

    Raises:
        ResolveError: no answer, or a package has neither a wheel nor an sdist for a platform.
    """
    if not requirements:
        return ()
    machines = [platform.machine for platform in recipe.platforms]
    with tempfile.TemporaryDirectory(prefix="ferry-uv-") as work:
        try:
            pylock = uv.lock(
                requirements,
                python=recipe.python.version,
                as_of=recipe.as_of,
                machines=machines,
                constraints=kept,
                work=Path(work),
            )
        except ResolveError as error:
            if kept:
                error.hint = "others must move too: name them with --update as well, or lock everything anew"
            raise
    chosen: dict[str, dict[Platform, LockedFile]] = {}
    versions: dict[str, str] = {}
    for platform in recipe.platforms:
        for package, file in _select(pylock, platform, recipe, what):
            chosen.setdefault(package.name, {})[platform] = file
            versions[package.name] = str(package.version)
    return tuple(_package(name, versions[name], chosen[name]) for name in sorted(chosen))


def _select(pylock: Pylock, platform: Platform, recipe: Recipe, what: str) -> list[tuple[Package, LockedFile]]:
    environment = marker_environment(platform, recipe.python.version)
    tags = wheel_tags(platform, recipe.python.version, recipe.python.suite)
    try:
        selected = list(pylock.select(environment=environment, tags=tags))
    except PylockSelectError as error:
        raise ResolveError(f"{error} ({platform})", place=what) from error
    return [(package, _file(package, artifact, platform, what)) for package, artifact in selected]


def marker_environment(platform: Platform, python: str) -> Environment:
    """Return the environment of the target that markers are judged by, never this host's."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.0",
        "os_name": "posix",
        "platform_machine": platform.machine,
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.0",
        "python_version": python,
        "sys_platform": "linux",
    }


def wheel_tags(platform: Platform, python: str, suite: str) -> list[Tag]:
    """Return the tags that the runtime accepts, best first."""
    if suite not in GLIBC_OF_SUITE:
        known = ", ".join(sorted(GLIBC_OF_SUITE))
        raise ResolveError(f'expected one of {known}, got "{suite}"', place="python.debian")
    major, minor = GLIBC_OF_SUITE[suite]
    machine = platform.machine
    platforms = []
    for level in range(minor, _OLDEST_GLIBC - 1, -1):
        platforms.append(f"manylinux_{major}_{level}_{machine}")
        legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}.get(level)
        if legacy:
            platforms.append(f"{legacy}_{machine}")
    platforms.append(f"linux_{machine}")
    version = tuple(int(part) for part in python.split("."))
    interpreter = "cp" + "".join(map(str, version))
    return [
        *cpython_tags(version, platforms=platforms),
        *compatible_tags(version, interpreter=interpreter, platforms=platforms),
    ]


def _file(package: Package, artifact: object, platform: Platform, what: str) -> LockedFile:
    place = f"{what}: {package.name} {package.version}"
    if not isinstance(artifact, PackageWheel | PackageSdist):
        raise ResolveError("expected a wheel or an sdist of an index, got another source", place=place)
    digest = artifact.hashes.get("sha256")
    if digest is None or not artifact.size:
        raise ResolveError("expected size and sha256 from the index, got none", place=place)
    return LockedFile(name=artifact.filename, size=artifact.size, sha256=digest, platforms=(platform,))


def _package(name: str, version: str, files: Mapping[Platform, LockedFile]) -> LockedPackage:
    merged: dict[str, LockedFile] = {}
    for platform, file in files.items():
        before = merged.get(file.name)
        platforms = (*(before.platforms if before else ()), platform)
        merged[file.name] = LockedFile(name=file.name, size=file.size, sha256=file.sha256, platforms=platforms)
    return LockedPackage(name=name, version=version, files=tuple(merged[key] for key in sorted(merged)))
