"""What the kernel and the files of a host say, read once; nothing is judged here."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from bundler.errors import StepError
from bundler.installer.cards import find_program
from bundler.installer.layout import Layout
from bundler.installer.systemd import Systemd
from bundler.run import run

_TEXT_LIMIT = 1024 * 1024
_PROGRAM_TIMEOUT_S = 20
FILES = (
    "/etc/environment",
    "/etc/hosts",
    "/etc/passwd",
    "/etc/systemd/journald.conf",
    "/proc/cmdline",
    "/proc/cpuinfo",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/self/mounts",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/fs/file-max",
    "/proc/sys/fs/inotify/max_user_instances",
    "/proc/sys/fs/inotify/max_user_watches",
    "/proc/sys/fs/nr_open",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/osrelease",
    "/proc/sys/kernel/pid_max",
    "/proc/sys/kernel/random/entropy_avail",
    "/proc/sys/kernel/threads-max",
    "/proc/sys/net/core/somaxconn",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sys/net/ipv4/ip_local_port_range",
    "/proc/sys/user/max_user_namespaces",
    "/proc/sys/vm/max_map_count",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/vm/swappiness",
    "/run/systemd/container",
    "/sys/class/net/lo/flags",
    "/sys/class/rtc/rtc0/since_epoch",
    "/sys/fs/cgroup/cgroup.controllers",
    "/sys/fs/selinux/enforce",
    "/sys/kernel/mm/transparent_hugepage/enabled",
    "/sys/kernel/security/lockdown",
    "/sys/module/apparmor/parameters/enabled",
)
# Where something may be or not.
PLACES = (
    "/etc/localtime",
    "/run/reboot-required",
    "/run/systemd/timesync/synchronized",
    "/sys/fs/cgroup/memory",
    "/var/log/journal",
)
TEMPORARY = "/tmp"  # noqa: S108 (looked at, never written to)
# Directories whose file systems are looked at.
DIRECTORIES = ("/", "/etc", "/opt/ferry", "/run", TEMPORARY, "/usr", "/var/lib/ferry", "/var/log")
UNITS = (
    "auditd.service",
    "chrony.service",
    "chronyd.service",
    "fapolicyd.service",
    "firewalld.service",
    "nftables.service",
    "ntpd.service",
    "systemd-timesyncd.service",
    "ufw.service",
)
# Programs, each with the words that make it tell its version.
PROGRAMS = {
    "containerd": ("--version",),
    "docker": ("--version",),
    "openssl": ("version",),
    "podman": ("--version",),
    "systemctl": ("--version",),
    "tar": ("--version",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A directory, or the nearest one above that is there, and its file system.

    `owner` is a user's number, `mode` its permissions, `options` those of the mount; `inodes` is 0 where the file
    system counts none.
    """

    at: str
    owner: int
    mode: int
    is_link: bool
    kind: str
    options: tuple[str, ...]
    total_bytes: int
    free_bytes: int
    inodes: int
    free_inodes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Readings:
    """Texts of files by path, of those that can be read; what is there; places; states of units; versions of programs.

    A program without a readable version has "". `owner` is the number of the user whose host it is.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    there: frozenset[str] = frozenset()
    places: Mapping[str, Place] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    programs: Mapping[str, str] = field(default_factory=dict)
    owner: int = 0

    def number(self, path: str) -> int | None:
        """Return the number in a file, None where there is none."""
        text = self.texts.get(path, "").strip()
        return int(text) if re.fullmatch("[0-9]{1,20}", text) else None

    def field(self, path: str, name: str) -> str:
        """Return the value of the first line `name : value` of a file, "" where there is none."""
        match = re.search(rf"^{re.escape(name)}[ \t]*[:=][ \t]*(.*)$", self.texts.get(path, ""), re.MULTILINE)
        return match[1].strip() if match else ""

    def is_active(self, *units: str) -> bool:
        """Say whether one of some units runs."""
        return any(self.units.get(unit) == "active" for unit in units)


def read_host(layout: Layout, systemd: Systemd) -> Readings:
    """Look at the host; nothing is changed."""
    texts = {path: text for path in FILES if (text := _text(layout, path)) is not None}
    is_booted = layout.at("/run/systemd/system").is_dir()
    return Readings(
        texts=texts,
        there=frozenset(path for path in PLACES if layout.at(path).exists()),
        places={path: _place(layout, path, texts.get("/proc/self/mounts", "")) for path in DIRECTORIES},
        units={unit: state.active for unit, state in systemd.states(UNITS).items()} if is_booted else {},
        programs=_versions(layout),
        owner=layout.root.stat().st_uid,
    )


def _text(layout: Layout, path: str) -> str | None:
    try:
        with layout.at(path).open("rb") as stream:
            return stream.read(_TEXT_LIMIT).decode("utf-8", "replace")
    except OSError:
        return None


def _place(layout: Layout, path: str, mounts: str) -> Place:
    found = layout.at(path)
    while not found.exists() and found != layout.root:
        found = found.parent
    here = "/" + str(found.relative_to(layout.root)).removeprefix(".")
    system, status = os.statvfs(found), found.stat()
    kind, options = _mount(here, mounts)
    return Place(
        at=here,
        owner=status.st_uid,
        mode=status.st_mode & 0o7777,
        is_link=found.is_symlink(),
        kind=kind,
        options=options,
        total_bytes=system.f_blocks * system.f_frsize,
        free_bytes=system.f_bavail * system.f_frsize,
        inodes=system.f_files,
        free_inodes=system.f_favail,
    )


def _mount(path: str, mounts: str) -> tuple[str, tuple[str, ...]]:
    """Return the kind and the options of what is mounted at or above a path."""
    best, kind, options = "", "", ""
    for line in mounts.splitlines():
        words = line.split()
        if len(words) < 4:
            continue
        point = words[1].replace("\\040", " ")
        # A later mount at one place hides the earlier one.
        if (point == "/" or f"{path}/".startswith(f"{point}/")) and len(point) >= len(best):
            best, kind, options = point, words[2], words[3]
    return kind, tuple(options.split(",")) if options else ()


def _versions(layout: Layout) -> dict[str, str]:
    found = {}
    for name, words in PROGRAMS.items():
        program = find_program(layout, name)
        if program is None:
            continue
        found[name] = ""
        with suppress(StepError):
            said = run([program, *words], timeout_s=_PROGRAM_TIMEOUT_S, accept=range(256)).stdout
            match = re.search(r"[0-9]+(\.[0-9]+)*", said.partition("\n")[0])
            found[name] = match[0] if match else ""
    return found
