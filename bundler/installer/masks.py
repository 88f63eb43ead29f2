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
# Paths of a package below /, as its control files list them: md5sums without a slash, conffiles with one.
_UNIT = re.compile(r"^(?:[0-9a-f]{32} +|/)(?:usr/)?lib/systemd/system/([^/\s]+\.(?:service|socket|timer|path))$", re.M)
_SCRIPT = re.compile(r"^(?:[0-9a-f]{32} +|/)etc/init\.d/([^/\s]+)$", re.M)


def units_of(deb: Path) -> tuple[str, ...]:
    """Return the units that a package brings for the system; a script of init counts as the service it becomes.

    Raises:
        StepError: it cannot be read.
    """
    # Status 2: the package has no such control file.
    argv = ["dpkg-deb", "--info", str(deb)]
    listed = [run([*argv, name], timeout_s=_TIMEOUT_S, accept=(0, 2)).stdout for name in ("md5sums", "conffiles")]
    text = "\n".join(listed)
    return tuple(sorted({*_UNIT.findall(text), *(f"{name}.service" for name in _SCRIPT.findall(text))}))


def mask(layout: Layout, debs: Mapping[str, Path]) -> None:
    """Mask every unit of packages by name, and write down which, before it is done.

    What an administrator has put in the place of a unit stays.
    """
    masks = read_masks(layout)
    for name, deb in sorted(debs.items()):
        free = [unit for unit in units_of(deb) if not _is_taken(layout.units / unit)]
        masks |= dict.fromkeys(free, name)
    _write(layout, masks)
    for unit in masks:
        if not _is_taken(layout.units / unit):
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
