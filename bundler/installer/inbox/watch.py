"""One look into the inbox: what waits is installed, each bundle as an upgrade, or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from bundler.errors import FerryError, IntegrityError, TrustError
from bundler.installer.audit import refusal_on_record
from bundler.installer.inbox import places
from bundler.installer.inbox.units import read_window
from bundler.installer.install import Outcome, Session, install_in
from bundler.installer.journal import in_use
from bundler.installer.pending import read_pending
from bundler.installer.preflight.required import check_owner
from bundler.installer.resume import resume
from bundler.medium import Medium
from keystore import moment

KIND = "inbox"


@dataclass(frozen=True, kw_only=True, slots=True)
class Handled:
    """What became of one bundle: where it stands now, and the error by which it was refused, None for done."""

    name: str
    place: Path
    error: FerryError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a look into the inbox did: `waits` are the bundles for which it was not the time yet."""

    handled: tuple[Handled, ...]
    waits: tuple[str, ...]
    window: str


def look(session: Session, local: Callable[[datetime], datetime] = datetime.astimezone) -> Look:
    """Finish what was cut off, then install what waits, if the window is open.

    A bundle that does not become healthy is the last one of a look: those behind it may count on it.

    Raises:
        HostError: this is not root's command, or a bundle cannot be moved.
        IntegrityError: the settings are damaged.
    """
    check_owner(session.layout)
    layout = session.layout
    window = read_window(layout)
    places.make_places(layout)
    session = replace(session, kind=KIND, options=replace(session.options, only_upgrade=True))
    handled: list[Handled] = []
    if not in_use(layout.run):
        handled += _finish_cut_off(session)
        if window is None or window.holds(local(session.now)):
            handled += _install_all(session)
    waits = tuple(path.name for path in places.waiting(layout))
    return Look(handled=tuple(handled), waits=waits, window=str(window) if window else "")


def _finish_cut_off(session: Session) -> list[Handled]:
    """Go on with bundles that were in work when the power went: this host must not stay between two releases."""
    layout, handled = session.layout, []
    for path in places.in_work(layout):
        pending = read_pending(layout)
        if pending is None or Path(pending.asked.medium) != path.absolute():
            # It had not begun, or had ended: a second install of the same bundle does nothing.
            places.give_back(path, layout)
            continue
        handled.append(_handle(path, session, partial(_resume, path, session)))
    return handled


def _resume(path: Path, session: Session) -> object:
    return resume(Medium(path), session)


def _install_all(session: Session) -> list[Handled]:
    handled: list[Handled] = []
    for path in places.waiting(session.layout):
        one = _take_and_install(path, session)
        handled += [one] if one else []
        if one and one.error is not None and not isinstance(one.error, IntegrityError | TrustError):
            break
    return handled


def _take_and_install(path: Path, session: Session) -> Handled | None:
    layout = session.layout
    try:
        taken = places.take(path, layout)
    except IntegrityError as error:
        return _refused(path, session, error)
    if taken is None:
        return None
    named = replace(session, told={"inbox": path.name})
    return _handle(taken, session, lambda: install_in(_open(taken, named), named))


def _open(path: Path, session: Session) -> Medium:
    """Open a bundle; that something is none is on record, since nobody stands by."""
    with refusal_on_record(session.log, session.kind, **session.told):
        medium = Medium(path)
        medium.read_head()
        return medium


def _handle(path: Path, session: Session, work: Callable[[], object]) -> Handled:
    try:
        found = work()
    except FerryError as error:
        return _refused(path, session, error)
    told: dict[str, Any] = {"at": moment.stamp(session.now), "bundle": path.name}
    if isinstance(found, Outcome):
        wanted = found.plan.wanted
        told |= {"product": f"{wanted.manifest.name} {wanted.manifest.version}", "release": wanted.number}
        told |= {"steps": {done.action.step: round(done.seconds, 3) for done in found.done}}
    return Handled(name=path.name, place=places.finish(path, session.layout, told))


def _refused(path: Path, session: Session, error: FerryError) -> Handled:
    place = places.refuse(path, session.layout, error, moment.stamp(session.now))
    return Handled(name=path.name, place=place, error=error)
