"""Whether a recipe, and what its lock chose, fits an isolated host, as far as that host is known."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from bundler.errors import RecipeError, ResolveError
from bundler.model.lock import Lock, LockedTarget
from bundler.model.platform import Platform
from bundler.model.recipe import Recipe
from bundler.model.target import Target
from bundler.resolve.tags import GLIBC_OF_SUITE
from bundler.target.driver import check_drivers
from bundler.target.finding import Finding

Version = tuple[int, ...]
# Source: NEWS of glibc 2.26 (3.2 for all that it supports); its configure.ac for aarch64 asks 3.7.0.
_OLDEST_KERNEL: dict[str, Version] = {"amd64": (3, 2), "arm64": (3, 7)}
# Older ones ignore some of the units' protections, and LoadCredential=.
_WHOLE_SYSTEMD = 247
_LEGACY: dict[str, Version] = {"manylinux1": (2, 5), "manylinux2010": (2, 12), "manylinux2014": (2, 17)}
_MANYLINUX = re.compile("manylinux_([0-9]+)_([0-9]+)_")
_GIGABYTE = 10**9


def lock_target(target: Target) -> LockedTarget:
    """Return what a lock records of a target."""
    return LockedTarget(
        name=target.name if target.name.isprintable() else "target",
        os=target.os.id or "unknown",
        version=target.os.version or "unknown",
        machine=target.machine or "unknown",
        sha256=target.sha256,
    )


def check_recipe(recipe: Recipe, target: Target) -> list[Finding]:
    """Check a recipe against a target before anything is resolved.

    Raises:
        RecipeError: it cannot run there; the message names both sides.
    """
    findings = [_platform(recipe, target), _kernel(recipe, target)]
    return [*findings, _init(recipe, target)] if recipe.services else findings


def check_lock(lock: Lock, target: Target) -> list[Finding]:
    """Check what a lock chose for the target's platform: the wheels' glibc, the space, and the drivers.

    Raises:
        ResolveError: it does not fit.
    """
    platform = target.platform
    if platform is None:
        return []
    return [_glibc(lock, platform), *_space(lock, platform, target), *check_drivers(lock, target)]


def _platform(recipe: Recipe, target: Target) -> Finding:
    known = " or ".join(map(str, recipe.platforms))
    if target.platform not in recipe.platforms:
        has = str(target.platform) if target.platform else f"machine {target.machine or 'unknown'}"
        raise RecipeError(
            f"expected {has}, which the target is, got {known}",
            place="platforms",
            hint="add it to the recipe's platforms, or take another target",
        )
    return Finding(subject="platform", has=str(target.platform), needs=known)


def _kernel(recipe: Recipe, target: Target) -> Finding:
    assert target.platform is not None
    oldest = _OLDEST_KERNEL[target.platform.architecture]
    if target.kernel is not None and _numbers(target.kernel) < oldest:
        raise RecipeError(
            f"expected kernel {_dotted(oldest)} or newer for the runtime of {recipe.python.suite}, "
            f"the target has {target.kernel}",
            place="python.debian",
            hint="take a target with a newer kernel",
        )
    glibc = _dotted(GLIBC_OF_SUITE.get(recipe.python.suite, ()))
    return Finding(subject="kernel", has=target.kernel, needs=f">= {_dotted(oldest)} (glibc {glibc})")


def _init(recipe: Recipe, target: Target) -> Finding:
    name, version = target.init.name, target.init.version
    needs = f"systemd >= {_WHOLE_SYSTEMD}"
    if name is None:
        return Finding(subject="init", has=None, needs=needs)
    if name != "systemd":
        names = ", ".join(service.name for service in recipe.services)
        raise RecipeError(
            f'expected systemd for {names}, the target starts with "{name}"',
            place="services",
            hint="take a target with systemd, or carry the services as images",
        )
    is_whole = version is None or _numbers(version) >= (_WHOLE_SYSTEMD,)
    return Finding(subject="init", has=f"systemd {version or '?'}", needs=needs, is_enough=is_whole)


def _glibc(lock: Lock, platform: Platform) -> Finding:
    """The wheels run on the C library of the runtime, whatever the host has."""
    runtime = GLIBC_OF_SUITE[lock.python_suite]
    floor, wheel = glibc_floor(lock, platform)
    if floor > runtime:
        raise ResolveError(
            f"expected wheels for glibc {_dotted(runtime)} of {lock.python_suite} or older, "
            f"{wheel} asks for {_dotted(floor)}",
            place="wheels",
            hint="take a newer suite for the runtime, or an older version of that package",
        )
    needs = f">= {_dotted(floor)} ({wheel})" if wheel else "-"
    return Finding(subject="glibc", has=f"{_dotted(runtime)} ({lock.python_suite})", needs=needs)


def glibc_floor(lock: Lock, platform: Platform) -> tuple[Version, str]:
    """Return the oldest glibc that all chosen wheels run on, and the wheel that asks for it; () without any."""
    files = [package.file_for(platform) for package in (*lock.wheels, *lock.toolchain)]
    floors = [(_wheel_floor(file.name), file.name) for file in files if file is not None]
    return max((one for one in floors if one[0]), default=((), ""))


def _wheel_floor(name: str) -> Version:
    """Return the oldest glibc of one wheel; () for one that names none."""
    try:
        tags = parse_wheel_filename(name)[3]
    except InvalidWheelFilename:
        return ()
    found: list[Version] = []
    for tag in tags:
        if match := _MANYLINUX.match(tag.platform):
            found.append((int(match[1]), int(match[2])))
        found += [version for legacy, version in _LEGACY.items() if tag.platform.startswith(f"{legacy}_")]
    return min(found, default=())


def _space(lock: Lock, platform: Platform, target: Target) -> Iterator[Finding]:
    """The store holds every part, and what is unpacked from them is not smaller."""
    needed = carried_bytes(lock, platform)
    for path in ("/var/lib", "/opt"):
        free = target.free_bytes(path)
        if free is not None and free < needed:
            raise ResolveError(
                f"expected {_gigabytes(needed)} free at the least, the target has {_gigabytes(free)}",
                place=path,
                hint="free that much there, and probe the host again",
            )
        yield Finding(subject=path, has=None if free is None else _gigabytes(free), needs=f">= {_gigabytes(needed)}")


def carried_bytes(lock: Lock, platform: Platform) -> int:
    """Return the size of all that a bundle of the lock carries for a platform, each blob once."""
    packages = [package.file_for(platform) for package in (*lock.wheels, *lock.toolchain)]
    sizes = {file.sha256: file.size for file in packages if file is not None}
    sizes |= {deb.sha256: deb.size for deb in (*lock.debs, *lock.os_debs) if deb.platform == platform}
    sizes |= {rpm.sha256: rpm.size for rpm in lock.rpms if rpm.platform == platform}
    sizes |= {file.sha256: file.size for file in lock.paths(platform)}
    for image in lock.images:
        if image.is_for(platform):
            sizes |= {blob.sha256: blob.size for blob in (*image.documents, *image.contents)}
    return sum(sizes.values())


def _numbers(version: str) -> Version:
    """Return the numbers that a version starts with; `parse_target` has seen to it that there is one."""
    match = re.match(r"[0-9]+(\.[0-9]+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def _dotted(version: Version) -> str:
    return ".".join(map(str, version))


def _gigabytes(size: int) -> str:
    return f"{size / _GIGABYTE:.2f} GB"
