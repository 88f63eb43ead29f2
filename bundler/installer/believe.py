"""A bundle whose head is believed: who signed it is checked, and what it wants of a host is worked out."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from bundler.anchors import Anchor, choose_anchors, read_trust
from bundler.archive import Head
from bundler.attest import Attested
from bundler.errors import TrustError
from bundler.installer.escort.services import all_services
from bundler.installer.facts import Facts
from bundler.installer.layout import Layout
from bundler.installer.marks import judge_at
from bundler.installer.options import Options
from bundler.installer.settings import parse_changes
from bundler.installer.wanted import Wanted, want
from bundler.model.manifest import Manifest
from bundler.model.whole import whole_manifest
from bundler.verify import Policy, read_manifest


@dataclass(frozen=True, kw_only=True, slots=True)
class Believed:
    """A bundle whose head is believed: what its tar carries, and the whole release that it stands for."""

    head: Head
    carried: Manifest
    manifest: Manifest
    sha256: str
    attested: Attested
    policy: Policy
    judged_at: datetime

    @property
    def product(self) -> str:
        """What it is called, in words."""
        return f"{self.manifest.name} {self.manifest.version}"


def believe(head: Head, options: Options, facts: Facts, layout: Layout, *, now: datetime) -> Believed:
    """Check who signed a bundle, and return what it is.

    Raises:
        TrustError, IntegrityError: it is refused.
    """
    policy = _policy(options, facts, layout)
    judged_at = judge_at(facts.memory.marks, now)
    carried, attested = read_manifest(head, policy, now=judged_at)
    document, manifest = whole_manifest(head.manifest, carried)
    return Believed(
        head=head,
        carried=carried,
        manifest=manifest,
        sha256=hashlib.sha256(document).hexdigest(),
        attested=attested,
        policy=policy,
        judged_at=judged_at,
    )


def want_bundle(bundle: Believed, options: Options, facts: Facts) -> Wanted:
    """Work out the state to reach.

    Raises:
        HostError: a setting is changed that no service has.
    """
    return want(
        bundle.manifest,
        bundle.sha256,
        bundle.attested.key,
        facts,
        anchors=bundle.attested.kept,
        revocations=bundle.attested.list_versions,
        changes=parse_changes(options.changes, all_services(bundle.manifest)),
        python=options.python,
    )


def _policy(options: Options, facts: Facts, layout: Layout) -> Policy:
    """Trust what was named, else what this host knows."""
    trusted = choose_anchors(named_anchors(options), facts.anchors, place=str(layout.trust))
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
        oldest_revocations=facts.memory.marks.revocations,
        accept_older_revocations=options.accept_older_revocations,
    )


def named_anchors(options: Options) -> tuple[Anchor, ...]:
    """Return what the operator trusts by name.

    Raises:
        TrustError: a file is none.
    """
    return (*map(read_trust, options.trust), *options.anchors)
