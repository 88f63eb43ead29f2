"""An install that was cut off, undone: what this host was before it is written down."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bundler.errors import HostError
from bundler.installer.apply import sweep, take_back
from bundler.installer.audit import list_anchors, on_record, record_anchors
from bundler.installer.believe import believe, want_bundle
from bundler.installer.comeback import why_not_ready
from bundler.installer.install import Session, job_of
from bundler.installer.journal import Journal
from bundler.installer.options import Options
from bundler.installer.pending import Pending
from bundler.installer.release import Release
from bundler.installer.steps.step import Job
from bundler.installer.toolchains import remove_unused

KIND = "rollback"


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenBack:
    """What is undone: an install, its steps, and the release that runs again, None for none; `problem` if it is ill."""

    product: str
    steps: tuple[str, ...]
    release: Release | None = None
    problem: str = ""


def resumed(options: Options, pending: Pending) -> Options:
    """Return what was asked of an install, now asked again by others."""
    asked = pending.asked
    return replace(
        options,
        trust=(),
        anchors=pending.named,
        algorithm=asked.algorithm,
        changes=asked.changes,
        accept_expired=asked.accept_expired,
        allow_older=asked.allow_older,
        accept_lost=asked.accept_lost or options.accept_lost,
        accept_older_revocations=asked.accept_older_revocations,
        demands=asked.demands,
    )


def take_back_pending(pending: Pending, session: Session) -> TakenBack:
    """Undo an install from its first run on.

    Raises:
        HostError: something cannot be undone: the next rollback goes on with it.
    """
    job = _job(pending, session)
    log, release = session.log, pending.before.installed
    told = {"product": pending.asked.product, "manifest_sha256": pending.asked.release_sha256}
    with on_record(log, KIND, **told, steps=" ".join(pending.steps), to=str(pending.before.current or "")):
        sweep(session.layout)
        anchors = list_anchors(session.layout)
        _take_back(pending, job)
        record_anchors(log, anchors)
        problem = why_not_ready(job) if release else ""
    remove_unused(session.layout)
    return TakenBack(product=pending.asked.product, steps=pending.steps, release=release, problem=problem)


def _take_back(pending: Pending, job: Job) -> None:
    journal = Journal(job.layout.journal)
    journal.write(
        "plan",
        at=f"{job.now:%Y-%m-%dT%H:%M:%SZ}",
        bundle=job.wanted.manifest_sha256,
        product=pending.asked.product,
        release=job.wanted.number,
        before=job.before.current,
        steps=[],
    )
    problems = take_back(job, pending.steps, journal)
    if problems:
        raise HostError(
            f"expected to undo all of {pending.asked.product}, this could not be undone: {'; '.join(problems)}",
            hint="mend that, then run ferry host rollback again",
        )


def _job(pending: Pending, session: Session) -> Job:
    """Return the job as the first run had it; its bundle is judged as of then."""
    session = replace(session, options=resumed(session.options, pending))
    before, asked = pending.before, pending.asked
    bundle = believe(pending.head, session.options, before, session.layout, now=asked.judged_at)
    wanted = want_bundle(bundle, session.options, before)
    return job_of(bundle, wanted, before, None, session)
