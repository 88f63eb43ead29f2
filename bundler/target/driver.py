"""Whether the drivers of a lock are enough for a target, vendor by vendor."""

from __future__ import annotations

from collections.abc import Iterator

from bundler.accelerators.catalogue import vendor
from bundler.accelerators.decide import Decision, decide, told_need
from bundler.model.driver import VENDORS, DriverPackage
from bundler.model.lock import Lock
from bundler.model.target import Target
from bundler.resolve.driver import check_decision
from bundler.resolve.host import machine_of
from bundler.target.finding import Finding


def check_drivers(lock: Lock, target: Target) -> Iterator[Finding]:
    """Yield what was checked for each vendor that the payload asks something of, or that the lock has a driver for.

    Raises:
        ResolveError: the target's driver is not enough, and the lock brings none that can be installed there.
    """
    for name in VENDORS:
        need = next((need for need in lock.accelerators if need.vendor == name), None)
        packages = [
            one.package for one in lock.drivers if one.package.vendor == name and one.platform == target.platform
        ]
        if need is None and not packages:
            continue
        decision = decide(name, machine_of(target, name, lock.os_debs), need, packages)
        if decision is None:
            yield Finding(subject="driver", has=f"no card of {vendor(name).title}", needs=_needs(name, None))
            continue
        check_decision(decision, target)
        yield from _findings(decision, packages)


def _findings(decision: Decision, packages: list[DriverPackage]) -> Iterator[Finding]:
    has = f"{decision.vendor} {decision.has or 'none'}"
    if decision.chosen is not None:
        has += f", gets {packages[decision.chosen].version}"
    is_known = decision.has is not None or decision.chosen is not None
    yield Finding(subject="driver", has=has if is_known else None, needs=_needs(decision.vendor, decision))
    if decision.unknown:
        yield Finding(subject="driver", has=None, needs=f"{', '.join(decision.unknown)}, for {decision.vendor}")


def _needs(name: str, decision: Decision | None) -> str:
    if decision is None or decision.need is None:
        return f"nothing of {name}" if decision is None else f"any of {name}"
    return f">= {decision.need.minimum}: {told_need(decision.need)}"
