"""What an operator may insist on against the rules, and the entry of the audit log that each use of it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from bundler.installer.audit import DONE, HostLog
from bundler.installer.facts import Facts
from bundler.installer.marks import Marks
from bundler.installer.succession import why_older
from bundler.installer.wanted import Wanted
from keystore import moment

KIND = "override"
OLDER, EXPIRED, LOST = "--allow-older-sequence", "--accept-expired-bundle", "--accept-lost-marks"
OLDER_LIST = "--accept-older-revocations"


@dataclass(frozen=True, kw_only=True, slots=True)
class Override:
    """An option that made a difference: what would have been refused, what was here before and what comes."""

    option: str
    refused: str
    before: str = ""
    after: str = ""


def used_overrides(
    wanted: Wanted,
    facts: Facts,
    *,
    allow_older: bool,
    accept_expired: bool,
    accept_older_revocations: bool,
    judged_at: datetime,
) -> tuple[Override, ...]:
    """Return the options without which this install would be refused."""
    manifest, found = wanted.manifest, []
    if facts.memory.lost:
        found.append(Override(option=LOST, refused=facts.memory.lost))
    if accept_expired and manifest.expires_before(judged_at):
        found.append(
            Override(
                option=EXPIRED, refused="the bundle expired", before=manifest.expires, after=moment.stamp(judged_at)
            )
        )
    if accept_older_revocations:
        found += _older_lists(wanted.revocations, facts.memory.marks)
    refusal = why_older(wanted, facts) if allow_older else None
    if refusal is not None:
        mark = facts.memory.marks.products[manifest.name]
        before, after = f"sequence {mark.sequence}", f"sequence {manifest.sequence}"
        found.append(Override(option=OLDER, refused=refusal.message, before=before, after=after))
    return tuple(found)


def _older_lists(versions: Mapping[str, int], marks: Marks) -> list[Override]:
    return [
        Override(
            option=OLDER_LIST,
            refused=f"the list of revoked keys of {name} is older than one that was here",
            before=f"version {marks.oldest_revocations(name)}",
            after=f"version {version}",
        )
        for name, version in versions.items()
        if version < marks.oldest_revocations(name)
    ]


def record_overrides(log: HostLog, overrides: tuple[Override, ...], bundle: dict[str, str]) -> None:
    """Write an entry for each, before anything is done that it lets pass.

    Raises:
        HostError: one cannot be written.
    """
    for one in overrides:
        told = {"option": one.option, "refused": one.refused, "from": one.before, "to": one.after}
        log.write(KIND, DONE, **told, **bundle)
