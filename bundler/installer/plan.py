"""Facts and wishes to a plan: which steps are due and why; no effects."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bundler.installer.drivers import due_choices
from bundler.installer.facts import Facts
from bundler.installer.steps import STEPS, drivers, packages
from bundler.installer.steps.images import has_runtime
from bundler.installer.steps.step import Action
from bundler.installer.succession import check_product, why_older
from bundler.installer.suite import left_out
from bundler.installer.wanted import Wanted
from bundler.model.manifest import Item
from bundler.place import SHARED_ABOVE_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What must happen on this host, in order.

    `store_bytes`, `tree_bytes` and `packages_bytes` are what it adds below /var/lib/ferry, /opt/ferry and /usr.
    `left_out` are the suites of the bundle's Debian packages when this host is of none of them and goes without.
    With `reboot`, it ends behind a driver that works after a reboot only: what is left is planned anew then.
    `idle_images` is how many images stay in the store alone, because no container runtime is here.
    """

    wanted: Wanted
    actions: tuple[Action, ...]
    store_bytes: int
    tree_bytes: int
    packages_bytes: int = 0
    left_out: tuple[str, ...] = ()
    reboot: bool = False
    idle_images: int = 0


def make_plan(wanted: Wanted, facts: Facts, *, allow_older: bool = False) -> Plan:
    """Return the steps that are due.

    Raises:
        TrustError: a newer release of the product was here before, and `allow_older` is not set.
        HostError: another product is installed.
    """
    check_product(wanted, facts)
    refusal = why_older(wanted, facts)
    if refusal is not None and not allow_older:
        raise refusal
    actions = tuple(action for step in STEPS if (action := step.due(wanted, facts)))
    due = {action.step for action in actions}
    chosen = due_choices(wanted.manifest, facts.machines)
    reboot = any(choice.package.reboot for choice in chosen)
    sizes = [choice.item.descriptor.size for choice in chosen if choice.item]
    return Plan(
        wanted=wanted,
        actions=_up_to_drivers(actions) if reboot else actions,
        store_bytes=(store_bytes(wanted, facts) if "store" in due else 0) + round(sum(sizes) * _DRIVER_FACTOR),
        tree_bytes=tree_bytes(wanted, facts) if "release" in due else 0,
        packages_bytes=packages_bytes(wanted, facts) if "packages" in due else 0,
        left_out=left_out(wanted.manifest, facts),
        reboot=reboot,
        idle_images=0 if has_runtime(wanted.manifest, facts) else len(wanted.manifest.of_kind("image")),
    )


def _up_to_drivers(actions: tuple[Action, ...]) -> tuple[Action, ...]:
    names = [action.step for action in actions]
    return actions[: names.index(drivers.NAME) + 1]


# Measured on the wheels and the runtime of recipes/agentscope: 4.15 and 2.83 times their size when unpacked, in
# blocks of 4 KiB; a tenth more for other products.
_WHEEL_FACTOR = 4.6
_RUNTIME_FACTOR = 3.1
_BLOCK = 4096
# A guess for what a driver's package unpacks to while it runs.
_DRIVER_FACTOR = 4


def store_bytes(wanted: Wanted, facts: Facts) -> int:
    """Return what the blobs that are missing take in the store, in whole blocks, each with its record."""
    missing = [entry for entry in wanted.manifest.entries if facts.blobs.get(entry.sha256) != entry.size]
    return sum((-(-entry.size // _BLOCK) + 1) * _BLOCK for entry in missing)


def tree_bytes(wanted: Wanted, facts: Facts) -> int:
    """Return what the release's tree takes, estimated from the sizes of its packed parts.

    Large files take nothing where tree and store are on one file system: they share their bytes.
    """
    manifest = wanted.manifest
    shares = facts.store_space.device == facts.programs_space.device
    placed = [item for item in manifest.of_kind("file", "chart") if not (shares and _is_shared(item))]
    wheels = sum(item.descriptor.size for item in manifest.of_kind("wheel"))
    runtime = sum(item.descriptor.size for item in manifest.of_kind("python"))
    files = sum(-(-item.descriptor.size // _BLOCK) * _BLOCK for item in placed)
    return round(wheels * _WHEEL_FACTOR + runtime * _RUNTIME_FACTOR) + files


def packages_bytes(wanted: Wanted, facts: Facts) -> int:
    """Return what the packages that are due take when they are installed, as their own archive says.

    dpkg unpacks a newer version beside the older one, so that nothing is taken off for what is replaced.
    """
    sizes = (dict(item.source).get("installed_bytes", "") for item, _ in packages.missing(wanted, facts))
    return sum(int(size) for size in sizes if re.fullmatch("[0-9]{1,15}", size))


def _is_shared(item: Item) -> bool:
    return item.descriptor.size > SHARED_ABOVE_BYTES and not item.executable
