"""A host looked at with every check, alone or for a bundle; nothing is changed."""

from __future__ import annotations

import hashlib
from datetime import datetime
from pathlib import Path

from bundler.archive import read_head
from bundler.errors import HostError
from bundler.installer.facts import Facts, gather
from bundler.installer.layout import Layout
from bundler.installer.plan import Plan, make_plan
from bundler.installer.preflight.check import Finding, View
from bundler.installer.preflight.readings import read_host
from bundler.installer.preflight.table import examine
from bundler.installer.systemd import Systemd
from bundler.installer.wanted import want
from bundler.model.whole import whole_manifest
from bundler.verify import Policy, open_bundle, read_manifest


def preflight(layout: Layout, systemd: Systemd, *, now: datetime) -> tuple[Finding, ...]:
    """Look at a host alone.

    Raises:
        IntegrityError, TrustError, StepError: see `gather`.
    """
    facts = gather(layout, systemd)
    return examine(View(readings=read_host(layout, systemd), facts=facts, now=now))


def preflight_for(
    bundle: Path, policy: Policy, layout: Layout, systemd: Systemd, *, now: datetime
) -> tuple[Finding, ...]:
    """Look at a host for a bundle, or a volume of one, whose head alone is read and believed.

    Raises:
        TrustError, IntegrityError: the head is refused.
        HostError: another product is installed here.
    """
    facts = gather(layout, systemd)
    plan = _plan(bundle, policy, facts, now=now)
    return examine(View(readings=read_host(layout, systemd), facts=facts, now=now, plan=plan))


def check_findings(view: View) -> None:
    """Refuse a host of which something must be mended, with all of it and what to do.

    Raises:
        HostError: the checks that must hold and do not.
    """
    bad = [finding.verdict for finding in examine(view) if finding.refuses]
    if not bad:
        return
    remedies = "; ".join(verdict.remedy.english for verdict in bad if verdict.remedy)
    lines = [verdict.told.english for verdict in bad]
    message = (
        lines[0]
        if len(lines) == 1
        else f"{len(lines)} things must be mended:" + "".join(f"\n  {line}" for line in lines)
    )
    raise HostError(message, hint=remedies)


def _plan(bundle: Path, policy: Policy, facts: Facts, *, now: datetime) -> Plan:
    with open_bundle(bundle) as stream:
        head = read_head(stream)
    carried, attested = read_manifest(head, policy, now=now)
    document, manifest = whole_manifest(head.manifest, carried)
    digest = hashlib.sha256(document).hexdigest()
    # An older release is refused by the install, which also knows whether it was asked for.
    return make_plan(want(manifest, digest, attested.key, facts, changes={}, python=""), facts, allow_older=True)
