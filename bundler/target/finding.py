"""One thing that was checked about a target."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that was checked: what the host has, None when that is not known, and what is needed.

    `is_enough` is False for what works with a loss; what cannot work is an error and no finding.
    """

    subject: str
    has: str | None
    needs: str
    is_enough: bool = True
