"""The way back: an install that was cut off is undone, or an earlier release that is on record runs again."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace

from bundler.archive import Head
from bundler.errors import FerryError, HostError, IntegrityError
from bundler.installer.apply import remove_traces
from bundler.installer.facts import current_release
from bundler.installer.install import Outcome, Session, carry_in
from bundler.installer.journal import exclusive
from bundler.installer.layout import Layout
from bundler.installer.marks import read_marks
from bundler.installer.own_driver import read_own
from bundler.installer.pending import read_pending
from bundler.installer.preflight.required import check_owner
from bundler.installer.release import Release, read_releases
from bundler.installer.resume import refuse_unknown
from bundler.installer.takeback import KIND, TakenBack, take_back_pending
from bundler.installer.toolchains import remove_unused
from bundler.model.manifest import HEAD_NAMES
from bundler.store import Store


def rollback(session: Session, *, to: int | None = None) -> Outcome | TakenBack | None:
    """Undo the install that was cut off; where there is none, go back to the release before, or to that of a number.

    The data of services stays, as do the marks: what this host has had is not forgotten. Returns None when `agree`
    says no to the plan of a way back. A dry run changes nothing.

    Raises:
        HostError: there is nothing to go back to, or this host cannot take it; what was done is undone.
        FerryError: see `bundler.installer.install.install`.
    """
    layout = session.layout
    check_owner(layout)
    os.umask(0o022)
    with exclusive(layout.run):
        pending = read_pending(layout)
        if pending is not None:
            _refuse_choice(to, pending.told)
            if session.options.dry_run:
                return TakenBack(product=pending.asked.product, steps=pending.steps, release=pending.before.installed)
            return take_back_pending(pending, session)
        refuse_unknown(layout)
        if to is None and _is_left_over(layout):
            if not session.options.dry_run:
                remove_traces(layout, keep=False)
                remove_unused(layout)
            return TakenBack(product="", steps=())
        return _go_back(to, session)


def _refuse_choice(to: int | None, told: str) -> None:
    if to is not None:
        raise HostError(
            f"expected no release to choose: {told}",
            place="--to",
            hint="take that one back first: ferry host rollback; or finish it: ferry host resume",
        )


def _is_left_over(layout: Layout) -> bool:
    """Say whether what is here is of an install that came to nothing: no release, no driver, nothing remembered."""
    if not layout.state.exists() and not layout.toolchains.exists():
        return False
    try:
        return not (read_releases(layout.records) or read_own(layout) or read_marks(layout).counter)
    except FerryError:
        return False


def _go_back(to: int | None, session: Session) -> Outcome | None:
    layout = session.layout
    releases, current = read_releases(layout.records), current_release(layout)
    release = _chosen(releases, current, to)
    options = replace(
        session.options,
        trust=(),
        algorithm=release.algorithm,
        changes=(),
        # What is on record here was judged when it came.
        accept_expired=True,
        allow_older=True,
        accept_older_revocations=True,
    )
    session = replace(session, kind=KIND, options=options, told={"from_release": str(current)})
    return carry_in(_stored_head(release, layout), None, session)


def _chosen(releases: Sequence[Release], current: int, to: int | None) -> Release:
    """Return the release of a number, or the newest below the one that runs.

    Raises:
        HostError: there is none.
    """
    numbers = ", ".join(str(release.number) for release in releases) or "none"
    if to is None:
        before = [release for release in releases if release.number < current]
        if before:
            return before[-1]
        raise HostError(
            f"expected a release before the one that runs ({current or 'none'}), on record are {numbers}",
            hint="install a bundle, or name a release: --to NUMBER",
        )
    if to == current:
        raise HostError(f"expected another release than {to}, which runs already", place="--to")
    found = [release for release in releases if release.number == to]
    if not found:
        raise HostError(f"expected a release that is on record ({numbers}), got {to}", place="--to")
    return found[0]


def _stored_head(release: Release, layout: Layout) -> Head:
    """Return the head of a release's bundle as it came.

    Raises:
        HostError: a part of it is not in the store.
        IntegrityError: a part has other bytes.
    """
    manifest, signature, envelope, trust = (_stored(name, dict(release.files), layout) for name in HEAD_NAMES)
    return Head(manifest=manifest, signature=signature, envelope=envelope, trust=trust, end=0)


def _stored(name: str, files: dict[str, str], layout: Layout) -> bytes:
    sha256 = files.get(name, "")
    path = Store(layout.store).path(sha256)
    if not sha256 or not path.is_file():
        raise HostError(
            f'expected "{name}" of that release in this host\'s store, it is not there',
            place=str(layout.store),
            hint="install its bundle: ferry host install BUNDLE --allow-older-sequence",
        )
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise IntegrityError(
            f'the stored "{name}" has other bytes than when it came',
            place=str(path),
            hint="install its bundle: ferry host install BUNDLE --allow-older-sequence",
        )
    return data
