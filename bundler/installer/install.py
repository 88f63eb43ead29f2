"""An install: the head is believed, facts and manifest become a plan, the plan is carried out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from bundler.anchors import choose_anchors, read_anchors, read_trust
from bundler.checks import Reading
from bundler.errors import HostError, TrustError
from bundler.installer.apply import Done, apply
from bundler.installer.audit import (
    HostLog,
    Operator,
    list_anchors,
    on_record,
    record_anchors,
    refusal_on_record,
    set_aside,
    this_operator,
)
from bundler.installer.base import check_base, with_room
from bundler.installer.escort.services import all_services
from bundler.installer.facts import Facts, gather
from bundler.installer.journal import exclusive, unfinished_step
from bundler.installer.layout import Layout
from bundler.installer.marks import Marks, Memory, judge_at, write_marks
from bundler.installer.memory import recall
from bundler.installer.overrides import record_overrides, used_overrides
from bundler.installer.plan import Plan, make_plan
from bundler.installer.preflight.check import View
from bundler.installer.preflight.host import check_findings
from bundler.installer.preflight.readings import read_host
from bundler.installer.preflight.required import check_host, check_owner, check_plan
from bundler.installer.room import is_full, lacks_room, told_room
from bundler.installer.settings import parse_changes
from bundler.installer.steps.step import Job
from bundler.installer.systemd import Systemd
from bundler.installer.wanted import want
from bundler.medium import Medium
from bundler.model.manifest import Manifest
from bundler.model.progress import Progress
from bundler.model.whole import whole_manifest
from bundler.verify import Policy, read_manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the operator asked for.

    Args:
        trust: files of public keys, root certificates or root documents; without them what this host knows decides.
        algorithm: the digest that proves the bytes, `sm3` or `sha256`.
        changes: settings as `SERVICE.NAME=VALUE`.
        dry_run: verify and plan, change nothing.
        accept_expired: take a bundle that is past its end.
        demands: schemes that must be among the signatures; None: as the profile says.
        accept_older_revocations: take a list of revoked keys that is older than one this host has had.
        allow_older: take a bundle with a lower sequence than this host has had.
        accept_lost: make the host's marks anew from its release records where they are lost or altered.
        operator: who asks; the audit log names them.
        python: the interpreter that runs this host's Ferry from now on.
    """

    trust: tuple[Path, ...]
    algorithm: str
    changes: tuple[str, ...]
    dry_run: bool
    accept_expired: bool
    allow_older: bool
    python: str
    accept_lost: bool = False
    operator: Operator = field(default_factory=this_operator)
    demands: tuple[str, ...] | None = None
    accept_older_revocations: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of it: the plan, and the steps that ran (none after a dry run, or when nothing was due).

    `judged_at` is the time at which the bundle's end was judged.
    """

    plan: Plan
    done: tuple[Done, ...]
    judged_at: datetime


def install(
    medium: Medium,
    options: Options,
    *,
    layout: Layout,
    systemd: Systemd,
    now: datetime,
    progress: Progress,
    agree: Callable[[Plan, str | None], bool],
) -> Outcome | None:
    """Install a bundle; return None when `agree`, which sees the plan and where a cut-off run stopped, says no.

    Raises:
        TrustError, IntegrityError: the bundle is refused; nothing on this host changed.
        HostError, StepError: this host cannot take it; what was done is undone.
    """
    check_owner(layout)
    os.umask(0o022)
    head = medium.read_head()
    log = HostLog(layout=layout, now=now, operator=options.operator)
    with nullcontext() if options.dry_run else exclusive(layout.run), ExitStack() as until_planned:
        if not options.dry_run:
            until_planned.enter_context(refusal_on_record(log, "install", bundle=str(medium.path)))
        facts = _gather(layout, systemd, options)
        policy = _policy(options, layout, facts.memory.marks)
        judged_at = judge_at(facts.memory.marks, now)
        carried, attested = read_manifest(head, policy, now=judged_at)
        document, manifest = whole_manifest(head.manifest, carried)
        check_host(facts, manifest.platform.machine)
        facts = check_base(carried, manifest, facts, layout, options.algorithm, progress, dry=options.dry_run)
        changes = parse_changes(options.changes, all_services(manifest))
        digest = hashlib.sha256(document).hexdigest()
        wanted = want(
            manifest,
            digest,
            attested.key,
            facts,
            anchors=attested.kept,
            revocations=attested.list_versions,
            changes=changes,
            python=options.python,
        )
        plan = with_room(make_plan(wanted, facts, allow_older=options.allow_older), carried, facts)
        check_plan(plan, facts)
        check_findings(View(readings=read_host(layout, systemd), facts=facts, now=now, plan=plan))
        if options.dry_run:
            _verify_only(medium, policy, carried, now=judged_at, progress=progress)
        until_planned.close()
        stopped_at = unfinished_step(layout.journal)
        if not agree(plan, stopped_at):
            return None
        if options.dry_run or (not plan.actions and stopped_at is None):
            return Outcome(plan=plan, done=(), judged_at=judged_at)
        job = Job(
            medium=medium,
            head=head,
            policy=policy,
            layout=layout,
            systemd=systemd,
            wanted=wanted,
            facts=facts,
            now=now,
            judged_at=judged_at,
            progress=progress,
        )
        return Outcome(plan=plan, done=_carry_out(plan, job, options, log), judged_at=judged_at)


def _gather(layout: Layout, systemd: Systemd, options: Options) -> Facts:
    facts = gather(layout, systemd)
    return replace(facts, memory=recall(layout, facts.releases, accept_lost=options.accept_lost))


def _carry_out(plan: Plan, job: Job, options: Options, log: HostLog) -> tuple[Done, ...]:
    """Put on record what is insisted on and what is done, and do it."""
    bundle = _told_bundle(plan)
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
            recorded.enter_context(on_record(log, "install", **bundle))
            job = replace(job, facts=_seen(job.layout, job.facts, job.now))
        anchors = list_anchors(job.layout)
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


def _policy(options: Options, layout: Layout, marks: Marks) -> Policy:
    """Trust what was named, else what this host knows."""
    named = tuple(map(read_trust, options.trust))
    trusted = choose_anchors(named, read_anchors(layout.trust), place=str(layout.trust))
    if not trusted:
        raise TrustError(
            "expected a trusted key, this host knows none yet",
            hint="name the builder's public key: --trust release.pem",
        )
    return Policy(
        trusted=trusted,
        algorithm=options.algorithm,
        accept_expired=options.accept_expired,
        demands=options.demands,
        oldest_revocations=marks.revocations,
        accept_older_revocations=options.accept_older_revocations,
    )


def _verify_only(medium: Medium, policy: Policy, carried: Manifest, *, now: datetime, progress: Progress) -> None:
    progress.start("verify", sum(entry.size for entry in carried.entries))
    medium.verify(policy, now=now, reading=Reading(advance=progress.advance))
