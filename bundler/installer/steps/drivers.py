"""Step `drivers`: a card that has no driver, or one that is too old for the payload, gets the bundle's."""

from __future__ import annotations

from dataclasses import replace

from bundler.errors import HostError, StepError
from bundler.installer.cards import read_driver
from bundler.installer.drivers import Choice, due_choices, earlier, reason, run_package
from bundler.installer.facts import Facts
from bundler.installer.own_driver import OwnDriver, boot_id, read_own, record_own
from bundler.installer.steps.step import Action, Job, list_reasons
from bundler.installer.wanted import Wanted
from bundler.model.driver import version_key
from bundler.model.manifest import Item

NAME = "drivers"


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when the payload could not use a card as it is."""
    known = _known(wanted, facts)
    reasons = {choice.decision.vendor: reason(choice, known) for choice in due_choices(wanted.manifest, facts.machines)}
    return Action(step=NAME, reason=list_reasons(reasons), detail=tuple(reasons)) if reasons else None


def _known(wanted: Wanted, facts: Facts) -> tuple[Item, ...]:
    return (*facts.driver_items, *wanted.manifest.of_kind("driver"))


def apply(job: Job) -> None:
    """Run the packages, and look whether the drivers are the new ones; one that waits for a reboot cannot tell yet.

    Raises:
        StepError: a package ended badly, or the driver is not the new one.
    """
    for choice in due_choices(job.wanted.manifest, job.facts.machines):
        own = _own(job, choice)
        name = own.package.vendor
        record_own(job.layout, name, own)
        words = own.package.upgrade if own.before and own.package.upgrade else own.package.install
        run_package(job.layout, own, words)
        record_own(job.layout, name, replace(own, is_done=True))
        has = read_driver(job.layout, name)
        if version_key(has) != version_key(own.package.version) and not own.package.reboot:
            raise StepError(
                f"expected driver {own.package.version} of {name} to answer, got {has or 'none'}",
                place=NAME,
                hint="an old module may still be loaded: reboot, and install again",
            )


def _own(job: Job, choice: Choice) -> OwnDriver:
    """Return the record of a driver to be: what was there before Ferry's first one counts as before."""
    item = choice.item
    assert item is not None
    was = job.facts.own_drivers.get(choice.decision.vendor)
    return OwnDriver(
        package=choice.package,
        file=item.name,
        sha256=item.descriptor.sha256,
        before=was.before if was and choice.decision.has == was.package.version else choice.decision.has or "",
        boot=boot_id(job.layout),
        is_done=False,
    )


def undo(job: Job) -> None:
    """Remove what this run brought, or install what was there before.

    Raises:
        HostError: neither can be done: the plan said so.
    """
    before = job.facts.own_drivers
    for name, own in read_own(job.layout).items():
        if own == before.get(name):
            continue
        had = job.facts.machines[name].driver or ""
        if own.is_done or version_key(read_driver(job.layout, name)) != version_key(had):
            _back(job, own, had)
        # A record of a run that was cut off tells of nothing that could be put back.
        was = before.get(name)
        record_own(job.layout, name, was if was and was.is_done else None)


def _back(job: Job, own: OwnDriver, had: str) -> None:
    if not had:
        if not own.package.uninstall:
            raise HostError(f"driver {own.package.version} stays: no way to remove it is known", place=NAME)
        run_package(job.layout, own, own.package.uninstall)
        return
    item = earlier(_known(job.wanted, job.facts), own.package.vendor, had)
    if item is None or item.driver is None:
        raise HostError(f"driver {own.package.version} stays: the package of {had} is not here", place=NAME)
    old = replace(own, package=item.driver, file=item.name, sha256=item.descriptor.sha256)
    run_package(job.layout, old, item.driver.install)
