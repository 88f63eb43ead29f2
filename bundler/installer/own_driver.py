"""The records of the drivers that Ferry brought to this host."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from bundler.errors import IntegrityError
from bundler.installer.layout import Layout
from bundler.model.document import Fields
from bundler.model.driver import FILE_NAME, VERSION, DriverPackage, driver_package, driver_package_document
from bundler.store import write_file

_BOOT = "[0-9a-f-]{0,40}"


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnDriver:
    """A driver that Ferry brought: its package's file, the version before it ("" for none), and in which boot.

    It `is_done` when its package ended well.
    """

    package: DriverPackage
    file: str
    sha256: str
    before: str
    boot: str
    is_done: bool


def read_own(layout: Layout) -> dict[str, OwnDriver]:
    """Return the drivers that Ferry brought to this host, by vendor.

    Raises:
        IntegrityError: a record is damaged.
    """
    found = {}
    for path in sorted(layout.drivers.glob("*.json")):
        own = _parse_own(path.read_bytes(), place=str(path))
        found[own.package.vendor] = own
    return found


def _parse_own(data: bytes, *, place: str) -> OwnDriver:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("expected the record of a driver in JSON", place=place) from error
    fields = Fields(document, place=place, error=IntegrityError)
    return OwnDriver(
        package=driver_package(fields.mapping("package")),
        file=fields.text("file", match=FILE_NAME),
        sha256=fields.hex("sha256"),
        before=fields.text("before", match=f"({VERSION})?"),
        boot=fields.text("boot", match=_BOOT),
        is_done=fields.flag("is_done"),
    )


def record_own(layout: Layout, name: str, own: OwnDriver | None) -> None:
    """Write down that a driver is Ferry's, or that none is."""
    path = layout.drivers / f"{name}.json"
    if own is None:
        path.unlink(missing_ok=True)
        return
    document = {
        "package": driver_package_document(own.package),
        "file": own.file,
        "sha256": own.sha256,
        "before": own.before,
        "boot": own.boot,
        "is_done": own.is_done,
    }
    layout.drivers.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())


def boot_id(layout: Layout) -> str:
    """Return what names this boot of the kernel; it differs after a reboot."""
    try:
        text = layout.at("/proc/sys/kernel/random/boot_id").read_text("ascii", "replace").strip()
    except OSError:
        return ""
    return text if re.fullmatch(_BOOT, text) else ""


def waits_for_reboot(own: OwnDriver, boot: str) -> bool:
    """Say whether a driver works after a reboot only that has not been."""
    return own.is_done and own.package.reboot and own.boot == boot
