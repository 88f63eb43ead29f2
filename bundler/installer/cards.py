"""The accelerators of this host and what their drivers need: looked at, never changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bundler.accelerators.catalogue import Read, vendor
from bundler.accelerators.decide import Machine
from bundler.accelerators.parsers import parse
from bundler.errors import StepError
from bundler.installer.layout import Layout
from bundler.model.driver import VENDORS
from bundler.run import run

PLACES = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
_TEXT_LIMIT = 1024 * 1024
_TOOL_TIMEOUT_S = 30
_TOOLS = ("dkms", "gcc", "make")
_ANY_STATUS = range(256)
# Kinds of PCI device that are cards, as their class starts: a board of Huawei has much else. Empty: all of a vendor.
_CLASSES = {"10de": ("03", "12"), "19e5": ("12",), "cabc": ("",), "1e3e": ("",)}


def gather_machines(layout: Layout, system: tuple[str, str]) -> dict[str, Machine]:
    """Return what is known of this host for each vendor of which a card is here; only their tools are run."""
    found: dict[str, list[str]] = {}
    for pci, device in _cards(layout):
        found.setdefault(pci, []).append(device)
    return {
        name: _machine(layout, name, tuple(sorted(found[pci])), system)
        for name, (pci, _) in VENDORS.items()
        if pci in found
    }


def _machine(layout: Layout, name: str, devices: tuple[str, ...], system: tuple[str, str]) -> Machine:
    kernel = os.uname().release
    return Machine(
        devices=devices,
        driver=read_driver(layout, name),
        kernel=kernel,
        system=system,
        headers=layout.at(f"/lib/modules/{kernel}/build").exists(),
        tools=frozenset(tool for tool in _TOOLS if find_program(layout, tool)),
        modules=frozenset(_names(layout.at("/sys/module"))),
        secure_boot=_secure_boot(layout),
    )


def _cards(layout: Layout) -> Iterator[tuple[str, str]]:
    """Yield vendor and device of every card on PCI."""
    directory = layout.at("/sys/bus/pci/devices")
    for name in _names(directory):
        pci, device, kind = (_number(directory / name / field) for field in ("vendor", "device", "class"))
        if any(kind.startswith(start) for start in _CLASSES.get(pci, ())) and (pci != "19e5" or device.startswith("d")):
            yield pci, device


def _number(path: Path) -> str:
    return _text(path).strip().removeprefix("0x")


def _names(directory: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in directory.iterdir())
    except OSError:
        return []


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return stream.read(_TEXT_LIMIT).decode("utf-8", "replace")
    except OSError:
        return ""


def _secure_boot(layout: Layout) -> str | None:
    """Return on or off, none without UEFI, None where the variable cannot be read."""
    firmware = layout.at("/sys/firmware/efi")
    if not firmware.is_dir():
        return "none"
    for path in sorted((firmware / "efivars").glob("SecureBoot-*")):
        try:
            return "on" if path.read_bytes()[4:5] == b"\1" else "off"
        except OSError:
            continue
    return None


def read_driver(layout: Layout, name: str) -> str:
    """Return the version that a vendor's driver says of itself, "" where none answers."""
    facts = vendor(name)
    for read in facts.reads:
        text = _text(layout.at(read.file)) if read.file else _output(layout, read, facts.places)
        if found := parse(read.parser, text).driver:
            return found
    return ""


def _output(layout: Layout, read: Read, places: tuple[str, ...]) -> str:
    """Return what a tool prints; the tool of a card that is broken may fail, or hang until it is stopped."""
    program = find_program(layout, read.run[0], places)
    if program is None:
        return ""
    environment = {"LD_LIBRARY_PATH": str(layout.at(read.library))} if read.library else {}
    argv: list[str | Path] = [program, *read.run[1:]]
    try:
        return run(argv, timeout_s=_TOOL_TIMEOUT_S, environment=environment, accept=_ANY_STATUS).stdout[:_TEXT_LIMIT]
    except StepError:
        return ""


def find_program(layout: Layout, name: str, places: tuple[str, ...] = ()) -> Path | None:
    """Return where a program stands on this host."""
    for place in (*places, *PLACES):
        path = layout.at(place) / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None
