"""A plan carried out: step by step, journalled, and undone in reverse order when one fails."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bundler.errors import FerryError, HostError
from bundler.installer.drivers import WORK
from bundler.installer.facts import GROUND
from bundler.installer.journal import DONE, HALF_UNDONE, TURNED, UNDONE, Journal, begun_steps
from bundler.installer.layout import Layout
from bundler.installer.pending import Pending, find_pending, first_run, forget_pending, is_pending, write_pending
from bundler.installer.plan import Plan
from bundler.installer.room import give_room, is_full, keep_room, told_room
from bundler.installer.steps import STEPS
from bundler.installer.steps.release import NEW
from bundler.installer.steps.step import Action, Job, Step
from bundler.installer.steps.switch import new_link
from bundler.store import sync_directory, write_file

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
        FerryError: a step failed; what this install did is undone, and the hint says so.
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
        problems = take_back(job, [step.NAME for step in begun], journal)
        raise _told(error, begun, problems, told_room(plan, job.layout) if is_full(error) else "") from error
    give_room(job.layout)
    _settle(job.layout)
    journal.end(DONE)
    forget_pending(job.layout)
    return tuple(done)


def take_back(job: Job, names: Sequence[str], journal: Journal | None) -> list[str]:
    """Undo an install from its first run on, also steps in `names`; return what could not be undone.

    Where that is nothing, this host is as it was before the install, and nothing of it is pending any more.
    """
    give_room(job.layout)
    _note(journal, TURNED)
    place = find_pending(job.layout)
    known = begun_steps(job.layout.journal, first_run(place)) if place else ()
    steps = [step for step in STEPS if step.NAME in {*known, *names}]
    problems = _undo(steps, replace(job, facts=job.before), journal)
    if problems:
        _end(journal, HALF_UNDONE)
        return problems
    _settle(job.layout)
    if job.before.is_fresh:
        # The journal ends with the directory that it stands in.
        remove_traces(job.layout, keep=bool(job.before.memory.marks.counter or job.before.memory.lost))
    else:
        _end(journal, UNDONE)
        forget_pending(job.layout)
    return []


def _end(journal: Journal | None, outcome: str) -> None:
    """Write it down where that can be done: else the next run finds an install that has not ended."""
    if journal is not None:
        with suppress(HostError):
            journal.end(outcome)


def _settle(layout: Layout) -> None:
    """Wait until the disk has what was renamed and linked: what the journal calls ended outlives the power."""
    wants = layout.units / "multi-user.target.wants"
    for path in (layout.units, wants, layout.launcher.parent, layout.programs, layout.settings, layout.trust):
        with suppress(OSError):
            sync_directory(path)


def _begin(plan: Plan, job: Job) -> Journal:
    """Write down what this host is and what is asked of it, sweep up what was left half made, open the journal."""
    try:
        job.layout.state.mkdir(parents=True, exist_ok=True)
        sweep(job.layout)
        keep_room(job.layout)
        if not (job.layout.state / ABSENT).exists():
            write_file(job.layout.state / ABSENT, "".join(f"{path}\n" for path in job.before.absent).encode())
        write_pending(job.layout, Pending(head=job.head, asked=job.asked, before=job.before, named=job.named))
    except OSError as error:
        raise _of_disk(error, "journal") from error
    journal = Journal(job.layout.journal)
    journal.write(
        "plan",
        at=f"{job.now:%Y-%m-%dT%H:%M:%SZ}",
        bundle=job.wanted.manifest_sha256,
        product=f"{job.wanted.manifest.name} {job.wanted.manifest.version}",
        release=job.wanted.number,
        before=job.before.current,
        steps=[action.step for action in plan.actions],
    )
    return journal


def sweep(layout: Layout) -> None:
    """Remove what a run that was cut off left half made: trees, parts of blobs, files beside their final places."""
    if find_pending(layout) is None:
        forget_pending(layout)
    halves = [
        *layout.trees.glob(f"{NEW}*"),
        *(layout.store / "parts").glob("*"),
        layout.drivers / WORK,
        new_link(layout),
    ]
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


def remove_traces(layout: Layout, *, keep: bool) -> None:
    """Remove the directories of a host that had none before, but for toolchains, which install.sh made."""
    for directory in (layout.trust, layout.settings, layout.trees, layout.programs):
        with suppress(OSError):
            directory.rmdir()
    # What says which of them were not here before goes last.
    remove_ground(layout, read_absent(layout))
    remove_state(layout, keep=keep)


def remove_state(layout: Layout, *, keep: bool) -> None:
    """Remove what Ferry knows; `keep` leaves what tells of its past: what it remembers, audit, receipts, secrets."""
    remembered = (layout.memory, layout.audit.parent, layout.receipt, layout.secrets)
    # In this order, so that wherever it is cut off what is left does not contradict itself: a host without releases
    # needs no marks, and without marks no audit log.
    for path in (layout.records, *(() if keep else remembered)):
        _remove(path)
    names = {path.name for path in remembered} if keep else set()
    left = [path for path in layout.state.glob("*") if path.name.partition(".")[0] not in names]
    for path in sorted(left, key=lambda path: (_rank(path, layout), path)):
        _remove(path)
    if not keep:
        _remove(layout.state)


def _rank(path: Path, layout: Layout) -> int:
    """Let what an install that was cut off is taken back from go last."""
    return 2 if is_pending(path) else int(path in (layout.journal, layout.state / ABSENT))


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
