"""What a step is: it says why it is due, does its work, and puts back what was before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from bundler.anchors import Anchor
from bundler.archive import Head
from bundler.installer.facts import Facts
from bundler.installer.layout import Layout
from bundler.installer.pending import Asked
from bundler.installer.systemd import Systemd
from bundler.installer.wanted import Wanted
from bundler.medium import Medium
from bundler.model.progress import Progress
from bundler.verify import Policy


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """A step that is due, the reason, and the things that it concerns."""

    step: str
    reason: str
    detail: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """All that steps work with: the bundle, the state to reach, and `facts`, what the host is.

    `before` is what it was before the first run of this install: an undo gets it as its facts. `medium` is None where
    only the host's own store is at hand. `asked` and the anchors `named` are written down for a later run. `now` is
    what the clock says; ends are judged at `judged_at`, which is never before the latest time seen here.
    """

    medium: Medium | None
    head: Head
    policy: Policy
    layout: Layout
    systemd: Systemd
    wanted: Wanted
    facts: Facts
    before: Facts
    asked: Asked
    named: tuple[Anchor, ...]
    now: datetime
    judged_at: datetime
    progress: Progress


class Step(Protocol):
    """A module in this package. `apply` may run again after it was cut off; `undo` follows from the facts alone."""

    NAME: str

    def due(self, wanted: Wanted, facts: Facts) -> Action | None:
        """Say why the step must run, None when the host is as it should be."""

    def apply(self, job: Job) -> None:
        """Bring the host to the state wanted."""

    def undo(self, job: Job) -> None:
        """Bring it back to the state of the facts, however far `apply` came."""


def list_reasons(reasons: Mapping[str, str]) -> str:
    """Return reasons by subject as one sentence."""
    return "; ".join(f"{subject}: {reason}" for subject, reason in reasons.items())
