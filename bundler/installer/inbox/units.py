"""The units of systemd that watch the inbox, and the operator's choice, which outlives upgrades."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import PurePosixPath

from bundler.errors import HostError
from bundler.installer.inbox.places import make_places
from bundler.installer.inbox.settings import Chosen, write_chosen
from bundler.installer.layout import Layout
from bundler.installer.systemd import Systemd
from bundler.store import write_file

# Not that of the services of a release: these stay when releases come and go.
_MARK = "# Of ferry host inbox: its commands enable and disable change it."
SERVICE, PATH, TIMER = "ferry-inbox.service", "ferry-inbox.path", "ferry-inbox.timer"
# It installs packages, units and drivers as root; what none of that needs is taken away.
_SERVICE = """\
{mark}
[Unit]
Description=Ferry: install the bundles of the inbox
After=multi-user.target

[Service]
Type=oneshot
ExecStart=/usr/local/bin/ferry host inbox run
TimeoutStartSec=6h
Nice=10
IPAddressDeny=any
IPAddressAllow=localhost
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
ProtectHome=yes
PrivateTmp=yes
ProtectClock=yes
LockPersonality=yes
RestrictRealtime=yes
KeyringMode=private
"""
# Nothing is written to a medium, not even when it was read. One that is not there is none.
_READ_ONLY = "ReadOnlyPaths=-{directory}\n"
# Whatever mounts something there, or above it, starts the service. It names the mounts nowhere else: systemd would know
# them before they are there, and would not look for what they want any more.
_INSTALL = """
[Install]
WantedBy={mounts}
"""
_PATH = f"""\
{_MARK}
[Unit]
Description=Ferry: watch the inbox

[Path]
PathChanged=/var/lib/ferry/inbox
Unit={SERVICE}

[Install]
WantedBy=multi-user.target
"""
# What came outside the window, or was cut off, is looked at again.
_TIMER = f"""\
{_MARK}
[Unit]
Description=Ferry: look into the inbox

[Timer]
OnCalendar=*:0/15
OnBootSec=2min
AccuracySec=30s
Unit={SERVICE}

[Install]
WantedBy=timers.target
"""
_UNITS = (SERVICE, PATH, TIMER)


def unit_texts(sticks: Sequence[str]) -> dict[str, str]:
    """Return the units by name.

    No path of a stick is watched: what is installed from one stays there, so PathExistsGlob would start the service
    again and again, and a path unit needs the mounts of its paths, so that the inbox would not be watched without them.
    """
    mounts = [mount_unit(directory) for directory in _with_parents(sticks)]
    service = _SERVICE.format(mark=_MARK)
    service += "".join(_READ_ONLY.format(directory=directory) for directory in sticks)
    service += _INSTALL.format(mounts=" ".join(mounts)) if mounts else ""
    return {SERVICE: service, PATH: _PATH, TIMER: _TIMER}


def _with_parents(sticks: Sequence[str]) -> list[str]:
    """Return the directories and those above them: any of them may be where the medium is mounted."""
    paths = [PurePosixPath(directory) for directory in sticks]
    return sorted({str(one) for path in paths for one in (path, *path.parents) if one.name})


def mount_unit(directory: str) -> str:
    """Return the unit that systemd has for a file system that is mounted there.

    Source: systemd.unit(5), string escaping for inclusion in unit names.
    """
    data = directory.strip("/").encode("utf-8", "surrogateescape")
    plain = [_escaped(one, is_first=not at) for at, one in enumerate(data)]
    return f"{''.join(plain)}.mount"


def _escaped(byte: int, *, is_first: bool) -> str:
    one = chr(byte)
    if one == "/":
        return "-"
    is_plain = byte < 128 and (one.isalnum() or one in ":_" or (one == "." and not is_first))
    return one if is_plain else f"\\x{byte:02x}"


def enable(layout: Layout, systemd: Systemd, chosen: Chosen) -> None:
    """Make the inbox, and let systemd watch it.

    Raises:
        HostError: something cannot be written.
        StepError: systemd refuses.
    """
    make_places(layout)
    if (layout.units / SERVICE).is_file():
        # Mounts that start it are named anew.
        systemd.disable([SERVICE])
    try:
        layout.units.mkdir(parents=True, exist_ok=True)
        write_chosen(layout, chosen)
        for name, text in unit_texts(chosen.sticks).items():
            write_file(layout.units / name, text.encode())
    except OSError as error:
        raise HostError(f"it cannot be written: {error.strerror}", place=str(error.filename)) from error
    systemd.reload()
    systemd.enable([PATH, TIMER, *([SERVICE] if chosen.sticks else [])])
    for name in (PATH, TIMER):
        systemd.start(name)
    # The path unit sees that, and lets what is there already be looked at now.
    os.utime(layout.inbox)


def disable(layout: Layout, systemd: Systemd) -> bool:
    """Let nobody watch any more; bundles that wait stay. Return whether anybody did.

    Raises:
        StepError: systemd refuses.
        HostError: a file cannot be removed.
    """
    here = [name for name in _UNITS if (layout.units / name).is_file()]
    if here:
        # Not the service: it may be what calls this.
        systemd.stop([name for name in here if name != SERVICE])
        systemd.disable(here)
    try:
        for name in here:
            (layout.units / name).unlink()
        layout.inbox_settings.unlink(missing_ok=True)
    except OSError as error:
        raise HostError(f"it cannot be removed: {error.strerror}", place=str(error.filename)) from error
    if here:
        systemd.reload()
    return bool(here)


def is_enabled(layout: Layout) -> bool:
    """Say whether the inbox is watched."""
    return all((layout.units / name).is_file() for name in _UNITS)
