"""Step `switch`: the link to the release that runs, moved in one instant."""

from __future__ import annotations

from pathlib import Path

from bundler.installer.facts import Facts
from bundler.installer.layout import Layout
from bundler.installer.steps.step import Action, Job
from bundler.installer.wanted import Wanted
from bundler.store import Store, write_file

NAME = "switch"


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when another release, or none, is the current one."""
    if facts.current == wanted.number:
        return None
    was = f"release {facts.current} is" if facts.current else "no release is"
    return Action(step=NAME, reason=f"{was} the current one, not release {wanted.number}")


def apply(job: Job) -> None:
    """Point at the new release; the store's index lists its images."""
    index = next(entry for entry in job.wanted.manifest.entries if entry.name == "index.json")
    _point(job, job.wanted.number, index.sha256)


def undo(job: Job) -> None:
    """Point back, or nowhere."""
    installed = job.facts.installed
    if installed is not None:
        _point(job, installed.number, dict(installed.files)["index.json"])
        return
    job.layout.current.unlink(missing_ok=True)
    (job.layout.store / "index.json").unlink(missing_ok=True)


def _point(job: Job, number: int, index: str) -> None:
    write_file(job.layout.store / "index.json", Store(job.layout.store).read(index))
    new = new_link(job.layout)
    new.unlink(missing_ok=True)
    new.symlink_to(f"releases/{number}")
    new.replace(job.layout.current)


def new_link(layout: Layout) -> Path:
    """Return where the link stands before it takes its place."""
    return layout.current.with_name(".current.new")
