"""Installed systems that machines are copied from, built once and kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from isolated.host import ENVIRONMENT, beside, call, locked, os_release

BASE_PACKAGES = ("systemd", "systemd-sysv", "dbus")
BUILD_TIMEOUT_S = 900.0


def cached_system(suite: str, include: Sequence[str] = ()) -> Path:
    """Return the directory of a freshly installed `suite`, built by mmdebstrap when it is not cached yet.

    Two processes that ask at once build it once. Nothing may write to it.

    Raises:
        MachineError: The suite cannot be installed.
    """
    packages = sorted({*BASE_PACKAGES, *include})
    key = hashlib.sha256(json.dumps([1, suite, packages]).encode()).hexdigest()[:12]
    system = cache_dir() / f"{suite}-{key}"
    system.parent.mkdir(parents=True, exist_ok=True)
    with locked(beside(system, ".lock"), BUILD_TIMEOUT_S):
        if not system.is_dir():
            _build_system(suite, packages, system)
    return system


def cache_dir() -> Path:
    """Return where installed systems are kept."""
    if own := os.environ.get("FERRY_MACHINE_CACHE"):
        return Path(own).resolve()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ferry" / "machines"


def archive_uri() -> str | None:
    """Return the Debian archive of this host's apt configuration, None where the host is no Debian."""
    with contextlib.suppress(OSError):
        fields = "$(ORIGIN)|$(COMPONENT)|$(RELEASE)|$(CODENAME)|$(REPO_URI)"
        argv = ["apt-get", "indextargets", "--format", fields, "Created-By: Packages"]
        done = subprocess.run(argv, env=ENVIRONMENT, capture_output=True, text=True, timeout=30, check=False)
        return archive_of(done.stdout, os_release("ID"), os_release("VERSION_CODENAME"))
    return None


def archive_of(targets: str, distribution: str, codename: str) -> str | None:
    """Choose the archive among apt's targets; before the first `apt-get update` their origin is not known."""
    if distribution != "debian":
        return None
    for line in targets.splitlines():
        origin, component, release, release_codename, uri = line.split("|")
        is_debian = origin == "Debian" or (not origin and uri.rstrip("/").endswith("/debian"))
        if is_debian and component == "main" and codename in (release, release_codename):
            return uri
    return None


def _build_system(suite: str, packages: Sequence[str], system: Path) -> None:
    building = beside(system, ".new")
    shutil.rmtree(building, ignore_errors=True)
    mirror = archive_uri()
    argv = ["mmdebstrap", "--variant=minbase", f"--include={','.join(packages)}", "--format=directory"]
    try:
        call([*argv, suite, str(building), *([mirror] if mirror else [])], timeout_s=BUILD_TIMEOUT_S)
        _neutralize(building)
        building.rename(system)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _neutralize(system: Path) -> None:
    """Remove what mmdebstrap copied from this host."""
    (system / "etc/hostname").write_text("isolated\n")
    (system / "etc/hosts").write_text("127.0.0.1 localhost isolated\n::1 localhost\n")
    (system / "etc/resolv.conf").unlink(missing_ok=True)
    (system / "etc/apt/sources.list").unlink(missing_ok=True)
