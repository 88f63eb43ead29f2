"""An install: the head is believed, facts and manifest become a plan, the plan is carried out."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bundler.archive import Head, read_head
from bundler.checks import Reading
from bundler.errors import TrustError
from bundler.installer.apply import Done, apply
from bundler.installer.base import check_base, with_room
from bundler.installer.facts import Facts, gather, read_anchors
from bundler.installer.journal import exclusive, unfinished_step
from bundler.installer.layout import Layout
from bundler.installer.plan import Plan, make_plan
from bundler.installer.preflight import check_host, check_owner, check_plan
from bundler.installer.settings import parse_changes
from bundler.installer.steps.step import Job
from bundler.installer.systemd import Systemd
from bundler.installer.wanted import want
from bundler.medium import Medium
from bundler.model.manifest import Manifest
from bundler.model.progress import Progress
from bundler.model.whole import whole_manifest
from bundler.verify import Policy, open_bundle, read_manifest, read_trust


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the operator asked for.

    Args:
        trust: the builder's public key; without it the keys that this host knows decide.
        algorithm: the digest that proves the bytes, `sm3` or `sha256`.
        changes: settings as `SERVICE.NAME=VALUE`.
        dry_run: verify and plan, change nothing.
        accept_expired: take a bundle that is past its end.
        allow_older: take a bundle with a lower sequence than this host has had.
        python: the interpreter that runs this host's Ferry from now on.
    """

    trust: Path | None
    algorithm: str
    changes: tuple[str, ...]
    dry_run: bool
    accept_expired: bool
    allow_older: bool
    python: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What came of it: the plan, and the steps that ran (none after a dry run, or when nothing was due)."""

    plan: Plan
    done: tuple[Done, ...]


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
    policy = _policy(options, layout)
    head = _read(medium.path)
    carried, key = read_manifest(head, policy, now=now)
    document, manifest = whole_manifest(head.manifest, carried)
    with nullcontext() if options.dry_run else exclusive(layout.run):
        facts = gather(layout, systemd)
        check_host(facts, manifest.platform.machine)
        facts = check_base(carried, manifest, facts, layout, options.algorithm, progress, dry=options.dry_run)
        changes = parse_changes(options.changes, manifest.services)
        digest = hashlib.sha256(document).hexdigest()
        wanted = want(manifest, digest, key, facts, changes=changes, python=options.python)
        plan = with_room(make_plan(wanted, facts, allow_older=options.allow_older), carried, facts)
        check_plan(plan, facts)
        if options.dry_run:
            _verify_only(medium, policy, carried, now=now, progress=progress)
        stopped_at = unfinished_step(layout.journal)
        if not agree(plan, stopped_at):
            return None
        if options.dry_run or (not plan.actions and stopped_at is None):
            return Outcome(plan=plan, done=())
        job = _job(medium, head, policy, layout, systemd, plan, facts, now, progress)
        return Outcome(plan=plan, done=apply(plan, job))


def _job(
    medium: Medium,
    head: Head,
    policy: Policy,
    layout: Layout,
    systemd: Systemd,
    plan: Plan,
    facts: Facts,
    now: datetime,
    progress: Progress,
) -> Job:
    return Job(
        medium=medium,
        head=head,
        policy=policy,
        layout=layout,
        systemd=systemd,
        wanted=plan.wanted,
        facts=facts,
        now=now,
        progress=progress,
    )


def _policy(options: Options, layout: Layout) -> Policy:
    """Trust the key that was named, else those that this host knows."""
    trusted = (read_trust(options.trust),) if options.trust else read_anchors(layout.trust)
    if not trusted:
        raise TrustError(
            "expected a trusted key, this host knows none yet",
            hint="name the builder's public key: --trust release.pem",
        )
    return Policy(trusted=trusted, algorithm=options.algorithm, accept_expired=options.accept_expired)


def _read(bundle: Path) -> Head:
    with open_bundle(bundle) as stream:
        return read_head(stream)


def _verify_only(medium: Medium, policy: Policy, carried: Manifest, *, now: datetime, progress: Progress) -> None:
    progress.start("verify", sum(entry.size for entry in carried.entries))
    medium.verify(policy, now=now, reading=Reading(advance=progress.advance))
