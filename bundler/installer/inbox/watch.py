"""One look into the inbox: what waits is installed, each bundle as an upgrade, or refused with a reason."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from bundler.errors import FerryError, IntegrityError
from bundler.installer.audit import on_record, refusal_on_record
from bundler.installer.inbox import places
from bundler.installer.inbox.from_stick import WAITS, finish_from_stick, install_sticks, judge, read_sticks, taken_back
from bundler.installer.inbox.handled import Handled
from bundler.installer.inbox.settings import Chosen, read_chosen
from bundler.installer.inbox.sticks import Stick
from bundler.installer.install import Outcome, Session, install_in
from bundler.installer.journal import in_use
from bundler.installer.pending import read_pending
from bundler.installer.preflight.required import check_owner
from bundler.installer.resume import resume
from bundler.installer.takeback import TakenBack
from bundler.medium import Medium
from keystore import moment

KIND = "inbox"
REMOVAL = "inbox-removal"


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """What a look into the inbox did: `waits` are the bundles for which it was not the time yet.

    Of those on sticks it has the whole paths; `removed` are the names of bundles that were done long ago.
    """

    handled: tuple[Handled, ...]
    waits: tuple[str, ...]
    window: str
    removed: tuple[str, ...] = ()


def look(session: Session, local: Callable[[datetime], datetime] = datetime.astimezone, *, again: bool = False) -> Look:
    """Finish what was cut off, then install what waits, if the window is open; `again` also what sticks had refused.

    A bundle that does not become healthy is the last one of a look: those behind it may count on it.

    Raises:
        HostError: this is not root's command, or a bundle cannot be moved.
        IntegrityError: the settings, or what is remembered of sticks, are damaged.
    """
    check_owner(session.layout)
    layout = session.layout
    chosen = read_chosen(layout)
    places.make_places(layout)
    session = replace(session, kind=KIND, options=replace(session.options, only_upgrade=True))
    handled: list[Handled] = []
    removed: list[str] = []
    if not in_use(layout.run):
        handled += _finish_cut_off(session)
        if chosen.window is None or chosen.window.holds(local(session.now)):
            handled += _install_all(session, chosen, again=again)
        removed += _remove_old(session, chosen)
    return Look(
        handled=tuple(handled),
        waits=_waiting(session, chosen),
        window=str(chosen.window) if chosen.window else "",
        removed=tuple(removed),
    )


def _waiting(session: Session, chosen: Chosen) -> tuple[str, ...]:
    sticks = read_sticks(session.layout, chosen.sticks)
    on_sticks = [seen for stick in sticks for seen in judge(session.layout, stick, session.now)]
    names = [path.name for path in places.waiting(session.layout)]
    return (*names, *(str(seen.bundle.path) for seen in on_sticks if seen.state == WAITS))


def _finish_cut_off(session: Session) -> list[Handled]:
    """Go on with bundles that were in work when the power went: this host must not stay between two releases."""
    layout, handled = session.layout, []
    for path in places.in_work(layout):
        pending = read_pending(layout)
        if pending is None or Path(pending.asked.medium) != path.absolute():
            # It had not begun, or had ended: a second install of the same bundle does nothing.
            places.give_back(path, layout)
            continue
        named = replace(session, told={"inbox": path.name})
        handled.append(_handle(path, session, partial(_resume, path, named)))
    pending = read_pending(layout)
    if pending is not None and pending.asked.kind == KIND and not _is_in_inbox(pending.asked.medium, session):
        handled.append(finish_from_stick(pending, session))
    return handled


def _is_in_inbox(medium: str, session: Session) -> bool:
    return Path(medium).is_relative_to(session.layout.inbox.absolute())


def _resume(path: Path, session: Session) -> object:
    found = resume(Medium(path), session)
    if isinstance(found, TakenBack):
        raise taken_back(found)
    return found


def _install_all(session: Session, chosen: Chosen, *, again: bool) -> list[Handled]:
    """Install what waits, and what came meanwhile: systemd starts no second look while one is at work."""
    handled: list[Handled] = []
    while fresh := _install_round(session, read_sticks(session.layout, chosen.sticks), again=again):
        handled += fresh
        if any(one.error is not None for one in fresh):
            break
    return handled


def _install_round(session: Session, sticks: Sequence[Stick], *, again: bool) -> list[Handled]:
    handled: list[Handled] = []
    for path in places.waiting(session.layout):
        one = _take_and_install(path, session)
        handled += [one] if one else []
        if one and one.is_last:
            return handled
    # While another install has not ended, each bundle of a stick would be refused.
    if read_pending(session.layout) is None:
        handled += install_sticks(sticks, session, again=again)
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


def _remove_old(session: Session, chosen: Chosen) -> list[str]:
    """Let no more bundles that are done stay than was chosen; each that goes is on record."""
    removed = []
    for path in places.beyond(session.layout, chosen.keep):
        with on_record(session.log, REMOVAL, inbox=path.name):
            places.remove(path)
        removed.append(path.name)
    return removed
