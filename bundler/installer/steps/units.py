"""Step `units`: the files that tell systemd of the services."""

from __future__ import annotations

from bundler.installer.facts import Facts
from bundler.installer.layout import unit_name
from bundler.installer.steps.step import Action, Job, list_reasons
from bundler.installer.wanted import Wanted
from bundler.store import write_file

NAME = "units"


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when a file is missing, altered, or no longer wanted."""
    reasons = {}
    for name, text in wanted.units.items():
        if name not in facts.units:
            reasons[unit_name(name)] = "is not there"
        elif facts.units[name].text != text:
            reasons[unit_name(name)] = "is not as this release writes it"
    for name in facts.units:
        if name not in wanted.units:
            reasons[unit_name(name)] = "is no longer wanted"
    return Action(step=NAME, reason=list_reasons(reasons), detail=tuple(reasons)) if reasons else None


def apply(job: Job) -> None:
    """Write and remove files, then let systemd read them."""
    directory, before = job.layout.units, job.facts.units
    directory.mkdir(parents=True, exist_ok=True)
    gone = [name for name in before if name not in job.wanted.units]
    job.systemd.disable([unit_name(name) for name in gone])
    for name in gone:
        (directory / unit_name(name)).unlink(missing_ok=True)
    for name, text in job.wanted.units.items():
        if name not in before or before[name].text != text:
            write_file(directory / unit_name(name), text.encode())
    job.systemd.reload()


def undo(job: Job) -> None:
    """Put the files back as they were."""
    before = job.facts.units
    for name in job.wanted.units:
        if name not in before:
            (job.layout.units / unit_name(name)).unlink(missing_ok=True)
    for name, unit in before.items():
        write_file(job.layout.units / unit_name(name), unit.text.encode("utf-8", "surrogateescape"))
    job.systemd.reload()
