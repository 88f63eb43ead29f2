"""A plan carried out: step by step, journalled, and undone in reverse order when one fails."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import FerryError, HostError
from bundler.installer.drivers import WORK
from bundler.installer.facts import GROUND
from bundler.installer.journal import Journal
from bundler.installer.layout import Layout
from bundler.installer.plan import Plan
from bundler.installer.room import give_room, is_full, keep_room, told_room
from bundler.installer.steps import STEPS
from bundler.installer.steps.release import NEW
from bundler.installer.steps.step import Action, Job, Step
from bundler.store import write_file

_STEPS = {step.NAME: step for step in STEPS}
# Which of the directories in GROUND were not here before Ferry: an uninstall removes them.
ABSENT = "absent"
# How bundler.store.write_file and keystore.disk.write call what they have not finished.
_HALF = re.compile(r"\..+\.([0-9a-f]{12}|[0-9a-f]{16}\.tmp)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Done:
    """A step that ran, and how long it took."""

    action: Action
    seconds: float


def apply(plan: Plan, job: Job) -> tuple[Done, ...]:
    """Run the steps of a plan.

    Raises:
        FerryError: a step failed; what this run did is undone, and the hint says so.
    """
    begun: list[Step] = []
    done: list[Done] = []
    journal: Journal | None = None
    try:
        journal = _begin(plan, job)
        for action in plan.actions:
            begun.append(_STEPS[action.step])
            done.append(_run(action, job, journal))
    except BaseException as error:
        give_room(job.layout)
        problems = _undo(begun, job, journal)
        if journal is not None:
            # What cannot be written down is found by the next run, which looks at the host itself.
            with suppress(HostError):
                journal.end("undone" if not problems else "half undone")
        if job.facts.is_fresh and not problems:
            _remove_traces(job)
        raise _told(error, begun, problems, told_room(plan, job.layout) if is_full(error) else "") from error
    give_room(job.layout)
    journal.end("done")
    return tuple(done)


def _begin(plan: Plan, job: Job) -> Journal:
    """Open the journal, note what this host is, and sweep up what a run that was cut off left half made."""
    try:
        job.layout.state.mkdir(parents=True, exist_ok=True)
        _sweep(job.layout)
        keep_room(job.layout)
        if not (job.layout.state / ABSENT).exists():
            write_file(job.layout.state / ABSENT, "".join(f"{path}\n" for path in job.facts.absent).encode())
    except OSError as error:
        raise _of_disk(error, "journal") from error
    journal = Journal(job.layout.journal)
    journal.write(
        "plan",
        at=f"{job.now:%Y-%m-%dT%H:%M:%SZ}",
        bundle=job.wanted.manifest_sha256,
        product=f"{job.wanted.manifest.name} {job.wanted.manifest.version}",
        release=job.wanted.number,
        before=job.facts.current,
        steps=[action.step for action in plan.actions],
    )
    return journal


def _sweep(layout: Layout) -> None:
    """Remove what a run that was cut off left half made: trees, parts of blobs, files beside their final places."""
    halves = [*layout.trees.glob(f"{NEW}*"), *(layout.store / "parts").glob("*"), layout.drivers / WORK]
    for directory in (*layout.own, layout.memory, layout.units, layout.launcher.parent):
        halves += [path for path in directory.glob(".*") if _HALF.fullmatch(path.name)]
    for path in halves:
        _remove(path)


def _run(action: Action, job: Job, journal: Journal) -> Done:
    began = time.monotonic()
    journal.write("begin", step=action.step, reason=action.reason)
    try:
        _STEPS[action.step].apply(job)
    except OSError as error:
        # A full or broken disk is for the operator to mend, whichever step met it.
        raise _of_disk(error, action.step) from error
    seconds = time.monotonic() - began
    journal.write("done", step=action.step, seconds=round(seconds, 3))
    return Done(action=action, seconds=seconds)


def _of_disk(error: OSError, place: str) -> HostError:
    return HostError(f"{error.strerror or error}", place=str(error.filename or place))


def _undo(begun: Sequence[Step], job: Job, journal: Journal | None) -> list[str]:
    """Undo steps, the last one first; return what could not be undone."""
    problems = []
    for step in reversed(begun):
        try:
            step.undo(job)
        except (FerryError, OSError) as error:
            problems.append(f"{step.NAME}: {error}")
            _note(journal, "not undone", step=step.NAME, error=str(error))
        else:
            _note(journal, "undone", step=step.NAME)
    return problems


def _note(journal: Journal | None, event: str, **fields: str) -> None:
    """Write it down where that can be done: an undo goes on without."""
    if journal is not None:
        with suppress(HostError):
            journal.write(event, **fields)


def _told(error: BaseException, begun: Sequence[Step], problems: Sequence[str], room: str) -> BaseException:
    """Add to an error what became of the host, and what room there is now."""
    if not isinstance(error, FerryError):
        return error
    step = begun[-1].NAME if begun else "journal"
    after = f"step {step} failed; this host is as it was before"
    if problems:
        after = f"step {step} failed, and this could not be undone: {'; '.join(problems)}; run the install again"
    # What a writer of the store advises is for a builder's cache.
    hint = "; ".join(filter(None, (room or error.hint, after)))
    return type(error)(error.message, place=error.place, hint=hint)


def _remove_traces(job: Job) -> None:
    """Remove the directories of a host that had none before, but for toolchains, which install.sh made."""
    layout = job.layout
    absent = read_absent(layout)
    remove_state(layout, keep=bool(job.facts.memory.marks.counter or job.facts.memory.lost))
    for directory in (layout.trust, layout.settings, layout.trees, layout.programs):
        with suppress(OSError):
            directory.rmdir()
    remove_ground(layout, absent)


def remove_state(layout: Layout, *, keep: bool) -> None:
    """Remove what Ferry knows; `keep` leaves what tells of its past: what it remembers, audit, receipts, secrets."""
    if not keep:
        # In this order, so that wherever it is cut off what is left does not contradict itself: a host without
        # releases needs no marks, and without marks no audit log.
        for path in (layout.records, layout.memory, layout.state):
            _remove(path)
        return
    for path in layout.state.glob("*"):
        kept = (layout.memory.name, layout.audit.parent.name, layout.receipt.name, layout.secrets.name)
        if path.name.partition(".")[0] not in kept:
            _remove(path)


def read_absent(layout: Layout) -> tuple[str, ...]:
    """Return the directories that Ferry found absent when it came."""
    try:
        return tuple((layout.state / ABSENT).read_text().splitlines())
    except FileNotFoundError:
        return ()


def remove_ground(layout: Layout, absent: Sequence[str]) -> None:
    """Remove those directories that Ferry found absent, where nobody else put anything into them."""
    for path in GROUND:
        if path in absent:
            with suppress(OSError):
                layout.at(path).rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
