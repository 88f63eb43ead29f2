"""Step `launcher`: the command `ferry` of this host."""

from __future__ import annotations

from bundler.installer.facts import Facts
from bundler.installer.steps.step import Action, Job
from bundler.installer.wanted import Wanted
from bundler.store import write_file

NAME = "launcher"


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when it is missing, or starts another Ferry."""
    if facts.launcher == wanted.launcher:
        return None
    reason = "starts another Ferry than this one" if facts.launcher else "is not there"
    return Action(step=NAME, reason=f"/usr/local/bin/ferry {reason}")


def apply(job: Job) -> None:
    """Write it."""
    _write(job, job.wanted.launcher)


def undo(job: Job) -> None:
    """Write the old one, or none."""
    if job.facts.launcher:
        _write(job, job.facts.launcher)
    else:
        job.layout.launcher.unlink(missing_ok=True)


def _write(job: Job, text: str) -> None:
    job.layout.launcher.parent.mkdir(parents=True, exist_ok=True)
    write_file(job.layout.launcher, text.encode(), 0o755)
