"""Step `marks`: what this host remembers of what it has had goes up, and never down again.

It runs before there is a record of the release: whatever has a record is covered by the marks, wherever the power goes.
A run that was cut off goes on, because the same bundle is not below the marks that it raised itself.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from bundler.errors import FerryError
from bundler.installer.facts import Facts
from bundler.installer.marks import Marks, ProductMark, read_marks, remove_marks, write_marks
from bundler.installer.steps.step import Action, Job
from bundler.installer.wanted import Wanted

NAME = "marks"


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when the bundle is above the marks, or they must be made anew."""
    before = facts.memory.marks
    if facts.memory.lost:
        return Action(step=NAME, reason=f"made anew from the release records: {facts.memory.lost}")
    if _raised(wanted, before) == before:
        return None
    name, sequence = wanted.manifest.name, wanted.manifest.sequence
    mark = before.products.get(name)
    if mark is None:
        reason = f"this host has had no {name} yet"
    elif mark.sequence < sequence:
        reason = f"sequence {sequence} of {name} is above {mark.sequence}, the highest so far"
    else:
        reason = f"{name} {wanted.manifest.version} takes the place of {mark.version}, or brings newer revocations"
    return Action(step=NAME, reason=reason)


def apply(job: Job) -> None:
    """Seal the higher marks; the latest time goes up with the clock and with when the bundle was made."""
    memory = job.facts.memory
    created = datetime.fromisoformat(job.wanted.manifest.created)
    marks = _raised(job.wanted, memory.marks).with_time(job.now, created)
    write_marks(job.layout, marks, anew=bool(memory.lost))


def undo(job: Job) -> None:
    """Seal what they were before, unless the release is still on record; a host that had none has none again."""
    memory = job.facts.memory
    if (job.layout.records / f"{job.wanted.number}.json").exists():
        return
    if memory.marks.counter or memory.lost:
        # What this install has written is above what it found: the counter passes that.
        write_marks(job.layout, replace(memory.marks, counter=_highest(job, memory.marks)), anew=bool(memory.lost))
    else:
        remove_marks(job.layout)


def _highest(job: Job, marks: Marks) -> int:
    """Return a counter that no marks of this install are above."""
    with suppress(FerryError):
        return max(marks.counter + 1, read_marks(job.layout).counter)
    return marks.counter + 1


def _raised(wanted: Wanted, marks: Marks) -> Marks:
    manifest = wanted.manifest
    mark = ProductMark(sequence=manifest.sequence, version=manifest.version, manifest_sha256=wanted.manifest_sha256)
    return marks.with_product(manifest.name, mark).with_revocations(wanted.revocations)
