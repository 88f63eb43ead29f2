"""Units of new Debian packages, masked before apt-get runs: no daemon starts on a host that nobody has configured.

Debian's packages start and enable their daemons when they are installed, with settings of Debian's choice (Prometheus
listens on every address). A mask holds at once and over a power cut, which disabling them afterwards would not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bundler.installer.layout import Layout
from bundler.run import run
from bundler.store import write_file

_TIMEOUT_S = 60
_NOWHERE = Path("/dev/null")
# Paths of a package below /, as md5sums, conffiles and a listing of its content have them.
_PATH = r"^(?:[0-9a-f]{32} +|/|.* \./)"
_UNIT = re.compile(_PATH + r"(?:usr/)?lib/systemd/system/([^/\s]+\.(?:service|socket|timer|path))$", re.M)
_SCRIPT = re.compile(_PATH + r"etc/init\.d/([^/\s]+)$", re.M)


def units_of(deb: Path) -> tuple[str, ...]:
    """Return the units that a package brings for the system; a script of init counts as the service it becomes.

    Raises:
        StepError: it cannot be read.
    """
    sums = _ask("--info", deb, "md5sums")
    # A listing of the content unpacks the whole package, so it is for those that others than Debian's tools made.
    text = "\n".join([sums or _ask("--contents", deb), _ask("--info", deb, "conffiles")])
    return tuple(sorted({*_UNIT.findall(text), *(f"{name}.service" for name in _SCRIPT.findall(text))}))


def _ask(option: str, deb: Path, *names: str) -> str:
    # Status 2: the package has no such control file.
    return run(["dpkg-deb", option, deb, *names], timeout_s=_TIMEOUT_S, accept=(0, 2) if names else (0,)).stdout


def mask(layout: Layout, debs: Mapping[str, Path]) -> None:
    """Mask every unit of packages by name, and write down which, before it is done.

    What an administrator has put in the place of a unit stays.
    """
    units = {unit: name for name, deb in sorted(debs.items()) for unit in units_of(deb)}
    free = {unit: name for unit, name in units.items() if not _is_taken(layout.units / unit)}
    _write(layout, read_masks(layout) | free)
    for unit in free:
        (layout.units / unit).symlink_to(_NOWHERE)


def unmask(layout: Layout, present: frozenset[str]) -> None:
    """Take away the masks of packages that are no longer present."""
    masks = read_masks(layout)
    for unit, name in masks.items():
        link = layout.units / unit
        if name not in present and link.is_symlink() and link.readlink() == _NOWHERE:
            link.unlink()
    _write(layout, {unit: name for unit, name in masks.items() if name in present})


def read_masks(layout: Layout) -> dict[str, str]:
    """Return the units that Ferry has masked, each with its package."""
    try:
        lines = layout.masks.read_text().splitlines()
    except FileNotFoundError:
        return {}
    return {words[0]: words[1] for line in lines if len(words := line.split(" ")) == 2}


def _is_taken(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _write(layout: Layout, masks: Mapping[str, str]) -> None:
    if masks:
        write_file(layout.masks, "".join(f"{unit} {name}\n" for unit, name in sorted(masks.items())).encode())
    else:
        layout.masks.unlink(missing_ok=True)
