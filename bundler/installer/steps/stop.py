"""Step `stop`: what is no longer wanted, or must start anew, is stopped before its files change.

Its undo is the last thing that an undone run does: it starts again what ran before.
"""

from __future__ import annotations

from bundler.installer.facts import Facts
from bundler.installer.layout import unit_name
from bundler.installer.steps.services import reasons_to_start
from bundler.installer.steps.step import Action, Job, list_reasons
from bundler.installer.wanted import Wanted
from bundler.model.escort import FIREWALL

NAME = "stop"
RUNNING = ("active", "activating", "reloading", "deactivating")


def _to_stop(wanted: Wanted, facts: Facts) -> dict[str, str]:
    restarted = reasons_to_start(wanted, facts)
    found = {}
    for name, unit in facts.units.items():
        # A firewall that stays wanted is never down for longer than its rules take to load.
        if name == FIREWALL and name in wanted.units:
            continue
        if unit.state.active in RUNNING and (name not in wanted.units or name in restarted):
            found[name] = "starts anew" if name in wanted.units else "is no longer wanted"
    return found


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when something runs that must not go on as it is."""
    found = _to_stop(wanted, facts)
    return Action(step=NAME, reason=list_reasons(found), detail=tuple(found)) if found else None


def apply(job: Job) -> None:
    """Stop those who need others first."""
    job.systemd.stop([unit_name(name) for name in reversed(_to_stop(job.wanted, job.facts))])


def undo(job: Job) -> None:
    """Start what ran."""
    job.systemd.reload()
    units = job.facts.units
    job.systemd.enable([unit_name(name) for name, unit in units.items() if unit.state.enabled])
    for name, unit in units.items():
        if unit.state.active in RUNNING:
            job.systemd.start(unit_name(name))
