"""The drivers of this host: which one a bundle installs, and how a package is run and taken back."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bundler.accelerators.catalogue import vendor
from bundler.accelerators.decide import Decision, Machine, decide, told_need
from bundler.errors import HostError, IntegrityError, StepError
from bundler.installer.cards import PLACES, find_program
from bundler.installer.layout import Layout
from bundler.installer.own_driver import OwnDriver, read_own, record_own
from bundler.model.driver import FILE, DriverPackage
from bundler.model.manifest import Item, Manifest
from bundler.run import run
from bundler.store import PIECE_BYTES, Store

# Where a package unpacks while it runs, below the directory of the records.
WORK = "work"
_INSTALL_TIMEOUT_S = 3600
_ANY_STATUS = range(256)
_SHOWN_LINES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What is decided about one vendor's driver, and the package of the bundle that is to be installed."""

    decision: Decision
    item: Item | None

    @property
    def package(self) -> DriverPackage:
        """What the item is."""
        assert self.item is not None
        assert self.item.driver is not None
        return self.item.driver


def choose(manifest: Manifest, machines: Mapping[str, Machine]) -> tuple[Choice, ...]:
    """Decide about every vendor of which this host has a card, and the payload asks something or brings a driver."""
    found = []
    for name, machine in machines.items():
        items = [item for item in manifest.of_kind("driver") if item.driver and item.driver.vendor == name]
        need = next((need for need in manifest.accelerators if need.vendor == name), None)
        packages = [item.driver for item in items if item.driver]
        decision = decide(name, _with_debs(machine, manifest), need, packages)
        if decision is not None and (need or items):
            found.append(Choice(decision=decision, item=None if decision.chosen is None else items[decision.chosen]))
    return tuple(found)


def due_choices(manifest: Manifest, machines: Mapping[str, Machine]) -> tuple[Choice, ...]:
    """Return those that install something."""
    return tuple(choice for choice in choose(manifest, machines) if choice.item is not None)


def _with_debs(machine: Machine, manifest: Manifest) -> Machine:
    """Count what the bundle's own packages will have brought by then."""
    names = {item.name.partition("_")[0] for item in manifest.of_kind("deb")}
    return replace(
        machine,
        headers=machine.headers or f"linux-headers-{machine.kernel}" in names,
        tools=(machine.tools or frozenset()) | names,
    )


def reason(choice: Choice, known: Sequence[Item]) -> str:
    """Say why a driver is installed, and whether that can be undone."""
    decision, package = choice.decision, choice.package
    has = f"driver {decision.has} is too old" if decision.has else "no driver answers"
    needs = f", {decision.need.minimum} or newer is needed: {told_need(decision.need)}" if decision.need else ""
    reboot = "; it works after a reboot only" if package.reboot else ""
    return f"{has}{needs}; installs {package.version}{reboot}; {told_undo(choice, known)}"


def told_undo(choice: Choice, known: Sequence[Item]) -> str:
    """Say what an undo would do."""
    has, vendor_name = choice.decision.has, choice.decision.vendor
    if not has:
        return "undo removes it" if choice.package.uninstall else "this cannot be undone: no way to remove it is known"
    if earlier(known, vendor_name, has) is None:
        return f"this cannot be undone: the package of {has} is not in the host's store"
    return f"undo installs {has} again"


def earlier(known: Sequence[Item], name: str, version: str) -> Item | None:
    """Return the package of a version among those in the host's store."""
    return next(
        (item for item in known if item.driver and (item.driver.vendor, item.driver.version) == (name, version)), None
    )


def run_package(layout: Layout, own: OwnDriver, words: Sequence[str]) -> None:
    """Run a command of a package, whose bytes are checked once more; its output goes to a log.

    Raises:
        IntegrityError: the bytes in the store are not those of the bundle.
        StepError: it ended badly; its last lines are in the message.
    """
    blob = Store(layout.store).path(own.sha256)
    if FILE in words:
        _check(blob, own)
    work = layout.drivers / WORK
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        link = work / own.file
        link.symlink_to(blob)
        argv = [_program(layout, own, words[0]), *(str(link) if word == FILE else word for word in words[1:])]
        environment = {"PATH": ":".join(PLACES), "TMPDIR": str(work), "DEBIAN_FRONTEND": "noninteractive"}
        done = run(argv, timeout_s=_INSTALL_TIMEOUT_S, cwd=work, environment=environment, accept=_ANY_STATUS)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    log = layout.drivers / f"{own.package.vendor}-{own.package.version}.log"
    output = f"$ {' '.join(words)}\n{done.stdout}{done.stderr}status {done.returncode}\n"
    with log.open("a", encoding="utf-8", errors="replace") as stream:
        stream.write(output)
    if str(done.returncode) not in own.package.statuses:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-_SHOWN_LINES:])
        raise StepError(
            f"`{' '.join(words)}` of {own.file} ended with status {done.returncode}:\n{tail}", place="drivers"
        )


def _program(layout: Layout, own: OwnDriver, name: str) -> str | Path:
    """Return a program of the vendor by its place on this host; those of the system are found by their name."""
    if name in ("sh", "dpkg", "rpm"):
        return name
    if name.startswith("/"):
        return layout.at(name)
    found = find_program(layout, name, vendor(own.package.vendor).places)
    if found is None:
        raise StepError(f'expected the program "{name}" of the driver, it is not there', place="drivers")
    return found


def _check(blob: Path, own: OwnDriver) -> None:
    """Refuse to run what is not the package: it runs as root."""
    digest = hashlib.sha256()
    try:
        with blob.open("rb", buffering=0) as stream:
            while piece := stream.read(PIECE_BYTES):
                digest.update(piece)
    except OSError as error:
        raise HostError(f"the driver's package cannot be read: {error.strerror}", place=str(blob)) from error
    if digest.hexdigest() != own.sha256:
        raise IntegrityError(
            f"expected sha256 {own.sha256}, got {digest.hexdigest()}", place=str(blob), hint="install the bundle again"
        )


def remove_drivers(layout: Layout) -> None:
    """Remove the drivers that Ferry brought to cards that had none before.

    Raises:
        IntegrityError, StepError: a record is damaged, or see `run_package`; the hint says how to leave them.
    """
    try:
        for name, own in read_own(layout).items():
            if not own.before and own.package.uninstall and own.is_done:
                run_package(layout, own, own.package.uninstall)
            record_own(layout, name, None)
    except (IntegrityError, StepError) as error:
        hint = "to leave drivers as they are: ferry host uninstall --keep-drivers"
        raise type(error)(error.message, place=error.place, hint=hint) from error


def staying_drivers(layout: Layout, *, keep: bool = False) -> tuple[str, ...]:
    """Say which drivers of Ferry an uninstall leaves, and why; all of them with `keep`."""
    with suppress(IntegrityError):
        reasons = {
            f"{name} {own.package.version}": _why_staying(own, keep=keep) for name, own in read_own(layout).items()
        }
        return tuple(f"{driver} ({reason})" for driver, reason in reasons.items() if reason)
    return ()


def _why_staying(own: OwnDriver, *, keep: bool) -> str:
    if keep:
        return "as asked"
    if own.before:
        return f"in place of {own.before}"
    return "" if own.package.uninstall else "no way to remove it is known"
