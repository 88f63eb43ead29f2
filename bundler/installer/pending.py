"""What is written down before an install begins, so that it can be finished or taken back whenever the power goes.

It is one file that is there whole or not at all, named after the first run of the install. It counts until a run from
that one on has ended well; whatever stands there then is swept up.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from bundler.anchors import Anchor, anchor_file, parse_anchor
from bundler.archive import Head
from bundler.errors import HostError, IntegrityError
from bundler.installer.facts import Facts
from bundler.installer.journal import DONE, UNDONE, begun_steps, last_run, outcome, unfinished_step
from bundler.installer.layout import Layout
from bundler.installer.options import Options
from bundler.installer.snapshot import read_value, write_value
from bundler.model.manifest import HEAD_NAMES
from bundler.store import sync_directory, write_file

_PREFIX, _SUFFIX = "pending-", ".json"
# It holds the operator's settings.
_MODE = 0o600


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """What an install was asked for: options that a later run needs, the medium, and when ends were judged.

    `kind` is what the audit log calls it.
    """

    kind: str
    release_sha256: str
    product: str
    medium: str
    algorithm: str
    changes: tuple[str, ...]
    accept_expired: bool
    allow_older: bool
    accept_lost: bool
    accept_older_revocations: bool
    demands: tuple[str, ...] | None
    judged_at: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """An install that has not ended: its bundle's head, what was asked, and what this host was before.

    `named` are the anchors that the operator named, `steps` those that were begun.
    """

    head: Head
    asked: Asked
    before: Facts
    named: tuple[Anchor, ...] = ()
    steps: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """What was cut off, and where."""
        return f"{self.asked.product}, whose install was cut off at step {self.steps[-1] if self.steps else '-'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Record:
    """How it stands on the disk: head and anchors in base64, and the facts without anchors."""

    head: tuple[str, ...]
    asked: Asked
    before: Facts
    anchors: tuple[str, ...]
    named: tuple[str, ...]


def make_asked(
    options: Options, *, kind: str, release_sha256: str, product: str, medium: Path | None, judged_at: datetime
) -> Asked:
    """Return what of the options a later run needs."""
    return Asked(
        kind=kind,
        release_sha256=release_sha256,
        product=product,
        medium=str(medium.absolute()) if medium else "",
        algorithm=options.algorithm,
        changes=options.changes,
        accept_expired=options.accept_expired,
        allow_older=options.allow_older,
        accept_lost=options.accept_lost,
        accept_older_revocations=options.accept_older_revocations,
        demands=options.demands,
        judged_at=judged_at,
    )


def write_pending(layout: Layout, pending: Pending) -> None:
    """Write down what is about to begin, or what is asked for now of what has begun.

    Raises:
        OSError: the disk does not take it.
    """
    place = find_pending(layout) or layout.pending(last_run(layout.journal) + 1)
    record = _Record(
        head=tuple(_text(data) for _, data in pending.head.entries()),
        asked=pending.asked,
        before=replace(pending.before, anchors=()),
        anchors=tuple(_text(anchor_file(anchor)[1]) for anchor in pending.before.anchors),
        named=tuple(_text(anchor_file(anchor)[1]) for anchor in pending.named),
    )
    write_file(place, write_value(record), _MODE)
    sync_directory(layout.state.parent)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def read_pending(layout: Layout) -> Pending | None:
    """Return the install that has not ended, None when there is none.

    Raises:
        IntegrityError: what is written down of it is damaged.
        HostError: it cannot be read.
    """
    place = find_pending(layout)
    if place is None:
        return None
    try:
        record = read_value(_Record, place.read_bytes(), place=str(place))
    except OSError as error:
        raise HostError(f"it cannot be read: {error.strerror}", place=str(place)) from error
    return Pending(
        head=_head(record.head, place),
        asked=record.asked,
        before=replace(record.before, anchors=_anchors(record.anchors, place)),
        named=_anchors(record.named, place),
        steps=begun_steps(layout.journal, first_run(place)),
    )


def _head(texts: Sequence[str], place: Path) -> Head:
    if len(texts) != len(HEAD_NAMES):
        raise IntegrityError(
            f"expected {len(HEAD_NAMES)} entries of a bundle's head, got {len(texts)}", place=str(place)
        )
    manifest, signature, envelope, trust = (_bytes(text, place) for text in texts)
    return Head(manifest=manifest, signature=signature, envelope=envelope, trust=trust, end=0)


def _anchors(texts: Sequence[str], place: Path) -> tuple[Anchor, ...]:
    return tuple(parse_anchor(_bytes(text, place), str(place)) for text in texts)


def _bytes(text: str, place: Path) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise IntegrityError("expected base64, got something else", place=str(place)) from error


def find_pending(layout: Layout) -> Path | None:
    """Return where it stands what a run that has not ended wrote down, None where there is none."""
    places = [path for path in layout.state.glob(f"{_PREFIX}*") if is_pending(path)]
    if not places:
        return None
    place = max(places, key=first_run)
    last = last_run(layout.journal)
    has_ended = last >= first_run(place) and outcome(layout.journal, last) in (DONE, UNDONE)
    return None if has_ended else place


def is_pending(path: Path) -> bool:
    """Say whether this is what an install wrote down before it began."""
    return path.suffix == _SUFFIX and path.stem.startswith(_PREFIX) and path.stem.removeprefix(_PREFIX).isdecimal()


def first_run(place: Path) -> int:
    """Return the number of the run that wrote it down."""
    return int(place.stem.removeprefix(_PREFIX))


def forget_pending(layout: Layout) -> None:
    """Remove all that was written down."""
    for place in filter(is_pending, layout.state.glob(f"{_PREFIX}*")):
        place.unlink()


def where_unfinished(layout: Layout) -> str | None:
    """Return the step at which an install was cut off, "" before its first; None when the last one ended."""
    place = find_pending(layout)
    if place is None:
        return unfinished_step(layout.journal)
    steps = begun_steps(layout.journal, first_run(place))
    return steps[-1] if steps else ""
