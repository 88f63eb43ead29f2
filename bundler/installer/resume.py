"""An install that was cut off, finished: the journal says what was begun, and what was asked is written down."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from bundler.errors import FerryError, HostError
from bundler.installer.apply import sweep
from bundler.installer.install import Outcome, Session, carry_in
from bundler.installer.journal import exclusive, has_turned, last_run, unfinished_step
from bundler.installer.layout import Layout
from bundler.installer.pending import Pending, read_pending
from bundler.installer.preflight.required import check_owner
from bundler.installer.room import give_room
from bundler.installer.takeback import TakenBack, resumed, take_back_pending
from bundler.medium import Medium


def resume(medium: Medium | None, session: Session) -> Outcome | TakenBack | None:
    """Finish what was begun: an install, or the undo in which it was cut off; return None where nothing was begun.

    The medium is needed only for parts that had not reached this host's store; without one the place from which the
    install came is tried. `agree` may say no, which also gives None.

    Raises:
        HostError: the medium is needed and not at hand, or is of another release.
        FerryError: see `bundler.installer.install.install`.
    """
    check_owner(session.layout)
    os.umask(0o022)
    with exclusive(session.layout.run):
        pending = read_pending(session.layout)
        if pending is None:
            refuse_unknown(session.layout)
            _tidy(session.layout)
            return None
        if has_turned(session.layout.journal, last_run(session.layout.journal)):
            return take_back_pending(pending, session)
        session = replace(session, kind=pending.asked.kind, options=resumed(session.options, pending))
        if medium is not None:
            return carry_in(medium.read_head(), medium, session)
        return carry_in(pending.head, _known_medium(pending), session)


def _tidy(layout: Layout) -> None:
    """Sweep up what a run left that was cut off before it began, or behind its end."""
    if layout.state.is_dir():
        sweep(layout)
        give_room(layout)


def _known_medium(pending: Pending) -> Medium | None:
    """Return the medium from which the install came, if it is still there and begins as it did."""
    path = Path(pending.asked.medium)
    if not pending.asked.medium or not path.is_file():
        return None
    try:
        medium = Medium(path)
        return medium if medium.read_head().entries() == pending.head.entries() else None
    except FerryError:
        # Something else stands there now.
        return None


def refuse_unknown(layout: Layout) -> None:
    """Refuse an install of which nothing is written down but its steps.

    Raises:
        HostError: an older Ferry began it.
    """
    step = unfinished_step(layout.journal)
    if step is not None:
        raise HostError(
            f"expected what an install writes down before it begins, of the one cut off at step {step or '-'} "
            "there is nothing",
            place=str(layout.journal),
            hint="an older Ferry began it: run its install again",
        )
