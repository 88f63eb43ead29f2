"""What the runtime of a platform is to Python packages: its markers, its wheel tags and its C library."""

from __future__ import annotations

from packaging.markers import Environment
from packaging.tags import Tag, compatible_tags, cpython_tags

from bundler.errors import ResolveError
from bundler.model.platform import Platform

# The runtime brings its own C library, so wheels are chosen for that and not for the host's.
GLIBC_OF_SUITE = {"bullseye": (2, 31), "bookworm": (2, 36), "trixie": (2, 41)}
_OLDEST_GLIBC = 5


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


def glibc_of(suite: str) -> tuple[int, int]:
    """Return the version of the C library of a Debian suite.

    Raises:
        ResolveError: Ferry does not know the suite.
    """
    if suite not in GLIBC_OF_SUITE:
        known = ", ".join(sorted(GLIBC_OF_SUITE))
        raise ResolveError(f'expected one of {known}, got "{suite}"', place="python.debian")
    return GLIBC_OF_SUITE[suite]


def wheel_tags(platform: Platform, python: str, suite: str) -> list[Tag]:
    """Return the tags that the runtime accepts, best first."""
    major, minor = glibc_of(suite)
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
