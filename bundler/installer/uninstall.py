"""An uninstall: everything that an install made is removed, and what the services wrote."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from bundler.errors import HostError, IntegrityError
from bundler.installer.apply import read_absent, remove_ground, remove_state
from bundler.installer.audit import HostLog, list_anchors, on_record, record_anchors
from bundler.installer.drivers import remove_drivers
from bundler.installer.escort.services import all_services
from bundler.installer.facts import installed_manifest
from bundler.installer.images import forget_storage, remove_images
from bundler.installer.inbox.units import disable
from bundler.installer.journal import exclusive
from bundler.installer.layout import MARK, PREFIX, Layout, service_name
from bundler.installer.packages import remove_own
from bundler.installer.preflight.required import check_owner
from bundler.installer.release import read_releases
from bundler.installer.rpms import remove_own as remove_own_rpms
from bundler.installer.systemd import Systemd


def uninstall(
    layout: Layout,
    systemd: Systemd,
    *,
    keep_data: bool = False,
    keep_drivers: bool = False,
    now: datetime | None = None,
) -> tuple[str, ...]:
    """Stop and remove everything; return the names of the units that were there.

    It may be repeated after it was cut off. `keep_data` leaves what services and operator wrote, what this host
    remembers of the bundles it has had, and its audit log; `keep_drivers` leaves the drivers that Ferry brought.
    `now` stands in the audit log, by default what the clock says.

    Raises:
        StepError: systemd does not stop a unit, apt or dnf does not remove a package, a driver does not go, or a
            container uses an image.
        HostError: a file cannot be removed, or the audit log cannot be written; nothing is removed then.
    """
    check_owner(layout)
    with exclusive(layout.run):
        log = HostLog(layout=layout, now=now or datetime.now(UTC))
        if not layout.state.is_dir():
            return _uninstall(layout, systemd, keep_data=keep_data, keep_drivers=keep_drivers)
        kept = "data" * keep_data + " drivers" * keep_drivers
        anchors = list_anchors(layout)
        with on_record(log, "uninstall", product=_product(layout), kept=kept.strip()):
            units = _uninstall(layout, systemd, keep_data=keep_data, keep_drivers=keep_drivers)
            record_anchors(log, anchors)
        return units


def _product(layout: Layout) -> str:
    """Return the newest release on record; a damaged record must not keep Ferry here."""
    with suppress(IntegrityError):
        return next((f"{one.name} {one.version}" for one in reversed(read_releases(layout.records))), "")
    return ""


def _uninstall(layout: Layout, systemd: Systemd, *, keep_data: bool, keep_drivers: bool) -> tuple[str, ...]:
    units = _units(layout)
    names = _services(layout, units)
    absent = read_absent(layout)
    disable(layout, systemd)
    systemd.stop(units)
    systemd.disable(units)
    try:
        for unit in units:
            _remove(layout.units / unit)
        systemd.reload()
        if not keep_drivers:
            remove_drivers(layout)
        remove_images(layout)
        forget_storage(layout, absent)
        remove_own(layout)
        systemd.reload()
        remove_own_rpms(layout)
        _remove_data(layout, names, keep_data=keep_data)
        remove_ground(layout, absent)
        # What a repeated uninstall starts from goes last; all that this interpreter needs is loaded already.
        remove_state(layout, keep=keep_data)
        for path in (*_launcher(layout), layout.programs):
            _remove(path)
    except OSError as error:
        raise HostError(f"it cannot be removed: {error.strerror}", place=str(error.filename)) from error
    return tuple(units)


def _units(layout: Layout) -> list[str]:
    paths = sorted(layout.units.glob(f"{PREFIX}*.service"))
    return [path.name for path in paths if path.read_bytes().startswith(MARK.encode())]


def _services(layout: Layout, units: list[str]) -> list[str]:
    """Return every service that this host has had: those of earlier releases may have left data too."""
    names = {service_name(unit) for unit in units}
    # A damaged record must not keep Ferry here.
    with suppress(IntegrityError):
        for release in read_releases(layout.records):
            manifest = installed_manifest(layout, (release,), release.number)
            names |= {service.name for service in all_services(manifest)} if manifest else set()
    return sorted(names)


def _launcher(layout: Layout) -> tuple[Path, ...]:
    """Return the command `ferry`, unless it is another program's."""
    path = layout.launcher
    return (path,) if path.is_file() and MARK.encode() in path.read_bytes() else ()


def _remove_data(layout: Layout, names: list[str], *, keep_data: bool) -> None:
    for name in names:
        state_link, cache_link, state, cache = layout.data(name)
        for path in (cache_link, cache, *(() if keep_data else (state_link, state))):
            _remove(path)
    _remove(layout.trust if keep_data else layout.settings)
    for path in layout.run.glob("*.started"):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        with suppress(FileNotFoundError):
            shutil.rmtree(path)
