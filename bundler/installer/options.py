"""What an operator asks of an install."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from bundler.anchors import Anchor
from bundler.installer.audit import Operator, this_operator


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the operator asked for.

    Args:
        trust: files of public keys, root certificates or root documents; without them what this host knows decides.
        anchors: more of these, as they were written down.
        algorithm: the digest that proves the bytes, `sm3` or `sha256`.
        changes: settings as `SERVICE.NAME=VALUE`.
        dry_run: verify and plan, change nothing.
        accept_expired: take a bundle that is past its end.
        demands: schemes that must be among the signatures; None: as the profile says.
        accept_older_revocations: take a list of revoked keys that is older than one this host has had.
        only_upgrade: take nothing where nothing is installed.
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
    anchors: tuple[Anchor, ...] = ()
    only_upgrade: bool = False
