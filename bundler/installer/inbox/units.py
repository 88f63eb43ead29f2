"""The units of systemd that watch the inbox, and the operator's choice, which outlives upgrades."""

from __future__ import annotations

import json

from bundler.errors import HostError, IntegrityError
from bundler.installer.inbox.places import make_places
from bundler.installer.inbox.window import Window, parse_window
from bundler.installer.layout import Layout
from bundler.installer.systemd import Systemd
from bundler.model.document import Fields
from bundler.store import write_file

# Not that of the services of a release: these stay when releases come and go.
_MARK = "# Of ferry host inbox: its commands enable and disable change it."
SERVICE, PATH, TIMER = "ferry-inbox.service", "ferry-inbox.path", "ferry-inbox.timer"
# It installs packages, units and drivers as root; what none of that needs is taken away.
_SERVICE = f"""\
{_MARK}
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
_TEXTS = {SERVICE: _SERVICE, PATH: _PATH, TIMER: _TIMER}


def enable(layout: Layout, systemd: Systemd, window: Window | None) -> None:
    """Make the inbox, and let systemd watch it.

    Raises:
        HostError: something cannot be written.
        StepError: systemd refuses.
    """
    make_places(layout)
    document = {"window": str(window) if window else ""}
    try:
        layout.units.mkdir(parents=True, exist_ok=True)
        layout.settings.mkdir(parents=True, exist_ok=True)
        write_file(layout.inbox_settings, (json.dumps(document) + "\n").encode())
        for name, text in _TEXTS.items():
            write_file(layout.units / name, text.encode())
    except OSError as error:
        raise HostError(f"it cannot be written: {error.strerror}", place=str(error.filename)) from error
    systemd.reload()
    systemd.enable([PATH, TIMER])
    for name in (PATH, TIMER):
        systemd.start(name)


def disable(layout: Layout, systemd: Systemd) -> bool:
    """Let nobody watch any more; bundles that wait stay. Return whether anybody did.

    Raises:
        StepError: systemd refuses.
        HostError: a file cannot be removed.
    """
    here = [name for name in _TEXTS if (layout.units / name).is_file()]
    if here:
        # Not the service: it may be what calls this.
        systemd.stop([name for name in here if name != SERVICE])
        systemd.disable([name for name in here if name != SERVICE])
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
    return all((layout.units / name).is_file() for name in _TEXTS)


def read_window(layout: Layout) -> Window | None:
    """Return the maintenance window that was chosen, None for any time.

    Raises:
        IntegrityError: the file of settings is no JSON.
        HostError: it holds no window.
    """
    place = str(layout.inbox_settings)
    try:
        document = json.loads(layout.inbox_settings.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise IntegrityError("expected the settings of the inbox in JSON", place=place) from error
    return parse_window(Fields(document, place=place, error=IntegrityError).text("window", ""), place=place)
