"""Step `services`: what should run is started, now and at every boot."""

from __future__ import annotations

import shutil

from bundler.installer.drivers import due_choices
from bundler.installer.facts import Facts
from bundler.installer.layout import unit_name
from bundler.installer.steps.step import Action, Job, list_reasons
from bundler.installer.wanted import Wanted
from bundler.model.escort import KEYSTORE
from bundler.store import write_file

NAME = "services"


def reasons_to_start(wanted: Wanted, facts: Facts) -> dict[str, str]:
    """Return why each service must be started (again), for those that must, in the order to start them."""
    reasons = {}
    for service in wanted.services:
        reason = _reason(service.name, wanted, facts)
        if reason is not None:
            reasons[service.name] = reason
    return reasons


def _reason(name: str, wanted: Wanted, facts: Facts) -> str | None:
    unit = facts.units.get(name)
    if unit is None:
        return "is not installed"
    if unit.state.active != "active":
        return f"is {unit.state.active}"
    if unit.not_ready is not None:
        return f"is not ready: {unit.not_ready}"
    if due_choices(wanted.manifest, facts.machines):
        return "holds the card whose driver is replaced"
    # After a reboot nothing is written of the start, which read the files as they are. Where files are not as
    # wanted, someone may have started it with them by hand.
    is_old = unit.started_with not in ("", wanted.started_with[name])
    if is_old or not _is_as_wanted(name, wanted, facts):
        return "runs with what was before"
    return None


def _is_as_wanted(name: str, wanted: Wanted, facts: Facts) -> bool:
    has_settings = facts.settings.get(name, "") == wanted.settings.get(name, "")
    return has_settings and facts.units[name].text == wanted.units[name] and facts.current == wanted.number


def _to_enable(wanted: Wanted, facts: Facts) -> list[str]:
    names = [service.name for service in wanted.services]
    return [name for name in names if name not in facts.units or not facts.units[name].state.enabled]


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when one does not run, or not as it should, or would not at the next boot."""
    reasons = dict.fromkeys(_to_enable(wanted, facts), "does not start at boot") | reasons_to_start(wanted, facts)
    return Action(step=NAME, reason=list_reasons(reasons), detail=tuple(reasons)) if reasons else None


def apply(job: Job) -> None:
    """Enable and start, in order, and note what each was started with."""
    job.systemd.enable([unit_name(name) for name in _to_enable(job.wanted, job.facts)])
    # The keystore runs already: what the others are to read came from it.
    names = [name for name in reasons_to_start(job.wanted, job.facts) if name != KEYSTORE]
    job.layout.run.mkdir(parents=True, exist_ok=True)
    for name in names:
        job.systemd.start(unit_name(name))
        write_file(job.layout.run / f"{name}.started", job.wanted.started_with[name].encode())


def undo(job: Job) -> None:
    """Stop what was started; remove what a service wrote that was never here before."""
    names = list(reasons_to_start(job.wanted, job.facts))
    job.systemd.stop([unit_name(name) for name in reversed(names)])
    before = job.facts.units
    job.systemd.disable([unit_name(name) for name in _to_enable(job.wanted, job.facts)])
    for name in names:
        note = job.layout.run / f"{name}.started"
        if name in before and before[name].started_with:
            write_file(note, before[name].started_with.encode())
        else:
            note.unlink(missing_ok=True)
        if name not in job.facts.data:
            for path in job.layout.data(name):
                path.unlink(missing_ok=True) if path.is_symlink() else shutil.rmtree(path, ignore_errors=True)
