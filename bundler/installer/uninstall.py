"""An uninstall: everything that an install made is removed, and what the services wrote."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

from bundler.errors import HostError
from bundler.installer.apply import ABSENT, remove_ground
from bundler.installer.journal import exclusive
from bundler.installer.layout import MARK, PREFIX, Layout, service_name
from bundler.installer.systemd import Systemd


def uninstall(layout: Layout, systemd: Systemd, *, keep_data: bool = False) -> tuple[str, ...]:
    """Stop and remove everything; return the names of the units that were there.

    It may be repeated after it was cut off. `keep_data` leaves what services and operator wrote: state and settings.

    Raises:
        StepError: systemd does not stop a unit.
        HostError: a file cannot be removed.
    """
    with exclusive(layout.run):
        units = _units(layout)
        absent = _absent(layout)
        systemd.stop(units)
        systemd.disable(units)
        try:
            _remove_files(layout, units, keep_data=keep_data)
        except OSError as error:
            raise HostError(f"it cannot be removed: {error.strerror}", place=str(error.filename)) from error
        systemd.reload()
        remove_ground(layout, absent)
        # The interpreter that runs this goes last: whatever it still needs is loaded already.
        _remove(layout.programs)
        return tuple(units)


def _units(layout: Layout) -> list[str]:
    paths = sorted(layout.units.glob(f"{PREFIX}*.service"))
    return [path.name for path in paths if path.read_bytes().startswith(MARK.encode())]


def _absent(layout: Layout) -> tuple[str, ...]:
    try:
        return tuple((layout.state / ABSENT).read_text().splitlines())
    except FileNotFoundError:
        return ()


def _remove_files(layout: Layout, units: list[str], *, keep_data: bool) -> None:
    for unit in units:
        name = service_name(unit)
        state_link, cache_link, state, cache = layout.data(name)
        for path in (cache_link, cache, *(() if keep_data else (state_link, state))):
            _remove(path)
        _remove(layout.units / unit)
    if layout.launcher.exists() and MARK.encode() in layout.launcher.read_bytes():
        _remove(layout.launcher)
    if keep_data:
        _remove(layout.trust)
    else:
        _remove(layout.settings)
    _remove(layout.state)
    for path in layout.run.glob("*.started"):
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        with suppress(FileNotFoundError):
            shutil.rmtree(path)
