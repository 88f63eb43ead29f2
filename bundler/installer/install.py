"""An install: the head is believed, facts and manifest become a plan, the plan is carried out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime

from bundler.archive import Head
from bundler.checks import Reading
from bundler.errors import HostError
from bundler.installer.apply import Done, apply
from bundler.installer.audit import (
    HostLog,
    list_anchors,
    on_record,
    record_anchors,
    refusal_on_record,
    set_aside,
)
from bundler.installer.base import check_base, with_room
from bundler.installer.believe import Believed, believe, named_anchors, want_bundle
from bundler.installer.comeback import coming_back
from bundler.installer.facts import Facts, gather
from bundler.installer.journal import exclusive
from bundler.installer.layout import Layout
from bundler.installer.marks import Memory, write_marks
from bundler.installer.memory import recall
from bundler.installer.options import Options
from bundler.installer.overrides import record_overrides, used_overrides
from bundler.installer.pending import Pending, make_asked, read_pending, where_unfinished
from bundler.installer.plan import Plan, make_plan
from bundler.installer.preflight.check import View
from bundler.installer.preflight.host import check_findings
from bundler.installer.preflight.readings import read_host
from bundler.installer.preflight.required import check_host, check_owner, check_plan
from bundler.installer.room import is_full, lacks_room, told_room
from bundler.installer.steps.step import Job
from bundler.installer.systemd import Systemd
from bundler.installer.wanted import Wanted
from bundler.medium import Medium
from bundler.model.progress import Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of it: the plan, and the steps that ran (none after a dry run, or when nothing was due).

    `judged_at` is the time at which the bundle's end was judged.
    """

    plan: Plan
    done: tuple[Done, ...]
    judged_at: datetime


Agree = Callable[[Plan, str | None], bool]


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """One command of an operator on one host; `agree` sees the plan first.

    `kind` is what the audit log calls it, `told` what that says beside the bundle.
    """

    kind: str
    options: Options
    layout: Layout
    systemd: Systemd
    log: HostLog
    progress: Progress
    agree: Agree
    told: Mapping[str, str] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """What the clock said when it began."""
        return self.log.now


def install(
    medium: Medium,
    options: Options,
    *,
    layout: Layout,
    systemd: Systemd,
    now: datetime,
    progress: Progress,
    agree: Agree,
) -> Outcome | None:
    """Install a bundle; return None when `agree`, which sees the plan and where a cut-off run stopped, says no.

    Raises:
        TrustError, IntegrityError: the bundle is refused; nothing on this host changed.
        HostError, StepError: this host cannot take it; what was done is undone.
    """
    log = HostLog(layout=layout, now=now, operator=options.operator)
    return install_in(
        medium,
        Session(
            kind="install", options=options, layout=layout, systemd=systemd, log=log, progress=progress, agree=agree
        ),
    )


def install_in(medium: Medium, session: Session) -> Outcome | None:
    """Install a bundle as a part of what the operator asked for; see `install`."""
    check_owner(session.layout)
    os.umask(0o022)
    with (
        nullcontext()
        if session.options.dry_run
        else refusal_on_record(session.log, session.kind, bundle=str(medium.path))
    ):
        head = medium.read_head()
    with nullcontext() if session.options.dry_run else exclusive(session.layout.run):
        return carry_in(head, medium, session)


def carry_in(head: Head, medium: Medium | None, session: Session) -> Outcome | None:
    """Bring this host to what a bundle wants of it; without a medium its store has all of the bundle."""
    options, layout = session.options, session.layout
    refused = refusal_on_record(session.log, session.kind, **({"bundle": str(medium.path)} if medium else {}))
    with nullcontext() if options.dry_run else refused:
        facts = _gather(session)
        bundle = believe(head, options, facts, layout, now=session.now)
        pending = _same_pending(layout, bundle)
        plan, facts = _plan(bundle, facts, session)
        if options.dry_run and medium is not None:
            _verify_only(medium, bundle, session)
    stopped_at = where_unfinished(layout)
    if not session.agree(plan, stopped_at):
        return None
    if options.dry_run or (not plan.actions and stopped_at is None):
        return Outcome(plan=plan, done=(), judged_at=bundle.judged_at)
    job = job_of(bundle, plan.wanted, facts, medium, session)
    return Outcome(plan=plan, done=_carry_out(plan, job, pending, session), judged_at=bundle.judged_at)


def _gather(session: Session) -> Facts:
    facts = gather(session.layout, session.systemd)
    return replace(facts, memory=recall(session.layout, facts.releases, accept_lost=session.options.accept_lost))


def _same_pending(layout: Layout, bundle: Believed) -> Pending | None:
    """Return the install that was cut off, when it is of this very release.

    Raises:
        HostError: it is of another one.
    """
    pending = read_pending(layout)
    if pending is not None and pending.asked.release_sha256 != bundle.sha256:
        raise HostError(
            f"expected {pending.told}, got {bundle.product}",
            hint="finish that one: ferry host resume; or take it back: ferry host rollback",
        )
    return pending


def _plan(bundle: Believed, facts: Facts, session: Session) -> tuple[Plan, Facts]:
    """Plan for a host that can take it; return its facts without blobs that turned out to be damaged.

    Raises:
        HostError, TrustError: it cannot.
    """
    options, layout = session.options, session.layout
    check_host(facts, bundle.manifest.platform.machine)
    if options.only_upgrade and facts.installed is None:
        raise HostError(
            f"expected an installed release to upgrade to {bundle.product}, there is none",
            hint="install it: ferry host install BUNDLE --trust FILE",
        )
    facts = check_base(
        bundle.carried, bundle.manifest, facts, layout, options.algorithm, session.progress, dry=options.dry_run
    )
    wanted = want_bundle(bundle, options, facts)
    plan = with_room(make_plan(wanted, facts, allow_older=options.allow_older), bundle.carried, facts)
    check_plan(plan, facts)
    check_findings(View(readings=read_host(layout, session.systemd), facts=facts, now=session.now, plan=plan))
    return plan, facts


def job_of(bundle: Believed, wanted: Wanted, facts: Facts, medium: Medium | None, session: Session) -> Job:
    """Return what steps work with, of an install that begins now."""
    return Job(
        medium=medium,
        head=bundle.head,
        policy=bundle.policy,
        layout=session.layout,
        systemd=session.systemd,
        wanted=wanted,
        facts=facts,
        before=facts,
        asked=make_asked(
            session.options,
            kind=session.kind,
            release_sha256=bundle.sha256,
            product=bundle.product,
            medium=medium.path if medium else None,
            judged_at=bundle.judged_at,
        ),
        named=named_anchors(session.options),
        now=session.now,
        judged_at=bundle.judged_at,
        progress=session.progress,
    )


def _carry_out(plan: Plan, job: Job, pending: Pending | None, session: Session) -> tuple[Done, ...]:
    """Put on record what is insisted on and what is done, and do it."""
    bundle, options, log = {**_told_bundle(plan), **session.told}, session.options, session.log
    overrides = used_overrides(
        plan.wanted,
        job.facts,
        allow_older=options.allow_older,
        accept_expired=options.accept_expired,
        accept_older_revocations=options.accept_older_revocations,
        judged_at=job.judged_at,
    )
    aside = set_aside(job.layout) if job.facts.memory.log_damaged else None
    with ExitStack() as recorded:
        with _told_when_full(plan, job.layout):
            record_overrides(log, overrides, {**bundle, "old_log": str(aside) if aside else ""})
            recorded.enter_context(on_record(log, session.kind, **bundle))
            facts = _seen(job.layout, job.facts, job.now)
            job = replace(job, facts=facts, before=pending.before if pending else facts)
        anchors = list_anchors(job.layout)
        with coming_back(job, log):
            done = apply(plan, job)
        record_anchors(log, anchors)
    return done


@contextmanager
def _told_when_full(plan: Plan, layout: Layout) -> Iterator[None]:
    """Say what room is needed where the record of an install does not find any."""
    try:
        yield
    except HostError as error:
        if is_full(error) and lacks_room(plan, layout):
            error.hint = f"{told_room(plan, layout)}; step audit failed; this host is as it was before"
        raise


def _told_bundle(plan: Plan) -> dict[str, str]:
    manifest = plan.wanted.manifest
    return {
        "product": f"{manifest.name} {manifest.version}",
        "sequence": str(manifest.sequence),
        "release": str(plan.wanted.number),
        "manifest_sha256": plan.wanted.manifest_sha256,
        "key": plan.wanted.key.keyid,
        "steps": " ".join(action.step for action in plan.actions),
    }


def _seen(layout: Layout, facts: Facts, now: datetime) -> Facts:
    """Let the latest time that this host has seen go up with its clock, once it has marks."""
    marks = facts.memory.marks
    if facts.memory.lost or not marks.counter or marks.with_time(now) == marks:
        return facts
    return replace(facts, memory=Memory(marks=write_marks(layout, marks.with_time(now))))


def _verify_only(medium: Medium, bundle: Believed, session: Session) -> None:
    session.progress.start("verify", sum(entry.size for entry in bundle.carried.entries))
    medium.verify(bundle.policy, now=bundle.judged_at, reading=Reading(advance=session.progress.advance))
