"""Step `trust`: the key that signed the bundle becomes one that this host trusts."""

from __future__ import annotations

from bundler.installer.facts import Facts
from bundler.installer.steps.step import Action, Job
from bundler.installer.wanted import Wanted
from bundler.store import write_file

NAME = "trust"


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when the operator named a key that the host does not have."""
    if wanted.key.keyid in {key.keyid for key in facts.anchors}:
        return None
    return Action(step=NAME, reason=f"this host does not know the key {wanted.key.keyid[:16]} yet")


def apply(job: Job) -> None:
    """Copy the key, so that later bundles need no --trust."""
    job.layout.trust.mkdir(parents=True, exist_ok=True)
    key = job.wanted.key
    write_file(job.layout.trust / f"{key.keyid}.pem", key.pem().encode())


def undo(job: Job) -> None:
    """Remove it again."""
    key = job.wanted.key
    if key.keyid not in {known.keyid for known in job.facts.anchors}:
        (job.layout.trust / f"{key.keyid}.pem").unlink(missing_ok=True)
