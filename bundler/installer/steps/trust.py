"""Step `trust`: what vouched for the bundle becomes what this host trusts, so that later bundles need no --trust.

A root document takes the place of keys and certificates: beside them its threshold would mean nothing. Of root
documents the newest stays.
"""

from __future__ import annotations

from collections.abc import Iterable

from bundler.anchors import Anchor, CertificateAnchor, RootAnchor, anchor_file
from bundler.installer.facts import Facts
from bundler.installer.steps.step import Action, Job
from bundler.installer.wanted import Wanted
from bundler.store import write_file

NAME = "trust"


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when the host does not trust yet what vouched for the bundle."""
    missing = _missing(wanted, facts)
    if not missing:
        return None
    return Action(step=NAME, reason=f"this host does not know {', '.join(map(_told, missing))} yet")


def _missing(wanted: Wanted, facts: Facts) -> list[Anchor]:
    known = {_identity(anchor) for anchor in facts.anchors}
    return [anchor for anchor in wanted.anchors if _identity(anchor) not in known]


def _identity(anchor: Anchor) -> tuple[str, bytes]:
    """Return what tells one anchor from another; more signatures make no other root document."""
    name, content = anchor_file(anchor)
    return name, anchor.root.encode() if isinstance(anchor, RootAnchor) else content


def _told(anchor: Anchor) -> str:
    if isinstance(anchor, RootAnchor):
        return f"version {anchor.root.version} of the root document"
    if isinstance(anchor, CertificateAnchor):
        return f'the root certificate "{anchor.certificate.claims.told}"'
    return f"the key {anchor.keyid[:16]}"


def apply(job: Job) -> None:
    """Write what is new, then remove what a root document takes the place of."""
    job.layout.trust.mkdir(parents=True, exist_ok=True)
    _write(job, _missing(job.wanted, job.facts))
    if any(isinstance(anchor, RootAnchor) for anchor in job.wanted.anchors):
        _remove(job, (*job.facts.anchors,), keep=job.wanted.anchors)


def undo(job: Job) -> None:
    """Put back what was there, and remove what was not."""
    _write(job, job.facts.anchors)
    _remove(job, job.wanted.anchors, keep=job.facts.anchors)


def _write(job: Job, anchors: Iterable[Anchor]) -> None:
    for anchor in anchors:
        name, content = anchor_file(anchor)
        path = job.layout.trust / name
        if not path.is_file() or path.read_bytes() != content:
            write_file(path, content)


def _remove(job: Job, anchors: Iterable[Anchor], *, keep: Iterable[Anchor]) -> None:
    kept = {anchor_file(anchor)[0] for anchor in keep}
    for name in {anchor_file(anchor)[0] for anchor in anchors} - kept:
        (job.layout.trust / name).unlink(missing_ok=True)
