"""Bundles on sticks, installed straight from where they are; what became of them is remembered on this host."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from bundler.errors import FerryError, HostError
from bundler.installer.inbox import remembered
from bundler.installer.inbox.handled import Handled
from bundler.installer.inbox.remembered import Remembered, read_remembered, remember
from bundler.installer.inbox.sticks import OnStick, Stick, read_stick
from bundler.installer.install import Outcome, Session, install_in
from bundler.installer.layout import Layout
from bundler.installer.pending import Pending
from bundler.installer.resume import resume
from bundler.installer.takeback import TakenBack
from bundler.medium import Medium
from bundler.source import of_system
from keystore import moment

WAITS, INCOMPLETE, WRITTEN = "waiting", "incomplete", "being written"
# The disk of this host is full: that is no fault of the medium.
_OF_HOST = frozenset({errno.ENOSPC, errno.EDQUOT})


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """A bundle on a stick, and how it stands with it: to be tried, not whole yet, or what it was when it was tried."""

    bundle: OnStick
    state: str
    known: Remembered | None


def read_sticks(layout: Layout, directories: Sequence[str]) -> tuple[Stick, ...]:
    """Look what the directories for media hold."""
    return tuple(read_stick(layout.at(directory)) for directory in directories)


def judge(layout: Layout, stick: Stick, now: datetime, *, again: bool = False) -> Iterator[Seen]:
    """Yield the bundles of a stick, each as it stands with it at the moment when it is asked for.

    Raises:
        IntegrityError, HostError: what is remembered cannot be read.
    """
    for bundle in stick.bundles:
        known = read_remembered(layout).get(bundle.manifest_sha256)
        yield Seen(bundle=bundle, state=_state(bundle, known, now, again=again), known=known)


def _state(bundle: OnStick, known: Remembered | None, now: datetime, *, again: bool) -> str:
    if known is not None and not known.is_due(now, again=again):
        return known.outcome
    if bundle.missing:
        return INCOMPLETE
    return WRITTEN if bundle.is_being_written() else WAITS


def install_sticks(sticks: Sequence[Stick], session: Session, *, again: bool) -> list[Handled]:
    """Install what is to be tried; one that does not become healthy is the last.

    Raises:
        IntegrityError, HostError: what is remembered cannot be read or written.
    """
    handled: list[Handled] = []
    for stick in sticks:
        for seen in judge(session.layout, stick, session.now, again=again):
            if seen.state == WAITS:
                handled.append(_install(seen, session))
                if handled[-1].is_last:
                    return handled
    return handled


def _install(seen: Seen, session: Session) -> Handled:
    bundle = seen.bundle
    named = replace(session, told={"stick": str(bundle.path)})
    return _handle(bundle, seen.known, session, lambda: install_in(Medium(bundle.path), named))


def finish_from_stick(pending: Pending, session: Session) -> Handled:
    """Go on with what was cut off; without the stick an install that still needs it is taken back.

    Raises:
        HostError: what became of it cannot be written down.
    """
    path = Path(pending.asked.medium)
    manifest_sha256 = hashlib.sha256(pending.head.manifest).hexdigest()
    bundle = OnStick(path=path, manifest_sha256=manifest_sha256, files=(path,))
    known = read_remembered(session.layout).get(bundle.manifest_sha256)
    named = replace(session, told={"stick": str(path)})
    return _handle(bundle, known, session, lambda: resume(None, named))


def _handle(bundle: OnStick, known: Remembered | None, session: Session, work: Callable[[], object]) -> Handled:
    stamp, path = moment.stamp(session.now), str(bundle.path)
    one = Remembered(manifest_sha256=bundle.manifest_sha256, outcome=remembered.DONE, at=stamp, path=path)
    try:
        found = work()
        if isinstance(found, TakenBack):
            raise taken_back(found)
    except FerryError as error:
        return _failed(bundle, known, one, session, error)
    if isinstance(found, Outcome):
        wanted = found.plan.wanted
        one = replace(one, product=f"{wanted.manifest.name} {wanted.manifest.version}", release=wanted.number)
    remember(session.layout, one)
    return Handled(name=bundle.path.name, place=bundle.path)


def _failed(bundle: OnStick, known: Remembered | None, one: Remembered, session: Session, error: FerryError) -> Handled:
    interrupted = _is_of_medium(error, bundle)
    one = replace(one, error=str(error), hint=error.hint or "", exit_code=error.exit_code)
    if interrupted:
        one = replace(one, outcome=remembered.INTERRUPTED, tries=(known.tries if known else 0) + 1)
    else:
        one = replace(one, outcome=remembered.REFUSED)
    remember(session.layout, one)
    return Handled(name=bundle.path.name, place=bundle.path, error=error, interrupted=interrupted)


def _is_of_medium(error: FerryError, bundle: OnStick) -> bool:
    """Say whether it failed because bytes could not be read, or because the stick is no longer there."""
    cause = of_system(error)
    return (cause is not None and cause.errno not in _OF_HOST) or not bundle.is_there()


def taken_back(found: TakenBack) -> HostError:
    """Return the error of an install that had failed and was cut off before that was told."""
    return HostError(
        f"expected {found.product} to be installed, its install had failed and is taken back now",
        hint="the journal and the audit log say why",
    )
