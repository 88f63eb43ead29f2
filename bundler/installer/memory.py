"""What a host remembers, believed only where marks, release records and audit log say the same.

A sealed document that is put back whole still has its seal. But the audit log names the counter of newer marks, the
records name newer releases, and the marks name a line that the audit log must have.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from bundler.errors import FerryError, TrustError
from bundler.installer.audit import MARKS
from bundler.installer.facts import installed_manifest
from bundler.installer.layout import Layout
from bundler.installer.marks import Marks, Memory, ProductMark, read_marks
from bundler.installer.release import Release
from keystore import audit
from keystore.errors import KeystoreError

_COUNTER = re.compile("[0-9]{1,15}")
_HINT = "find out who changed it; to go on with what the release records tell: --accept-lost-marks"


def recall(layout: Layout, releases: Sequence[Release], *, accept_lost: bool = False) -> Memory:
    """Return what the host remembers; with `accept_lost`, made anew from its records where it cannot be believed.

    Raises:
        TrustError: marks or audit log are lost, altered, or older than what else is here.
        HostError: they cannot be read.
    """
    try:
        return Memory(marks=_believed(layout, releases))
    except TrustError as error:
        if not accept_lost:
            raise TrustError(error.message, place=error.place, hint=_HINT) from error
        return _made_anew(layout, releases, str(error))


def _believed(layout: Layout, releases: Sequence[Release]) -> Marks:
    """Return the marks, checked against all that tells of them."""
    while True:
        marks = read_marks(layout)
        try:
            named = _check(layout, marks, releases)
        except TrustError:
            # Another run may have written marks and log meanwhile.
            if read_marks(layout) == marks:
                raise
        else:
            # An audit log that outlived its marks still counts.
            return replace(marks, counter=max(marks.counter, named))


def _check(layout: Layout, marks: Marks, releases: Sequence[Release]) -> int:
    """Return the highest counter that the audit log names, when nothing here contradicts the marks."""
    place = str(layout.marks)
    named, has_line = _read_log(layout, marks.audit)
    if not marks.counter:
        if releases:
            was = releases[-1]
            raise TrustError(
                f"expected the marks of this host, which has had {was.name} {was.version}, got none", place=place
            )
        return named
    if marks.counter < named:
        raise TrustError(
            f"expected marks that were written {named} times, as the audit log says, got {marks.counter}: "
            "older ones were put back",
            place=place,
        )
    for release in releases:
        mark = marks.products.get(release.name)
        if mark is None or mark.sequence < release.sequence:
            got = f"got {mark.sequence}" if mark else "got none"
            raise TrustError(
                f"expected a mark of sequence {release.sequence} or higher for {release.name}, "
                f"as release {release.number} has it, {got}: older marks were put back",
                place=place,
            )
    if not has_line:
        raise TrustError(
            f"expected line {marks.audit.count} with the hash {marks.audit.hash}, as the marks say, it is not there: "
            "lines were cut off, or the log was written anew",
            place=str(layout.audit),
        )
    return named


def _read_log(layout: Layout, head: audit.Head) -> tuple[int, bool]:
    """Return the highest counter of marks that the audit log names, and whether it has a certain line.

    Raises:
        TrustError: the log was altered.
    """
    named, has_line = 0, head.count == 0
    if not audit.exists(layout.audit):
        return named, has_line
    try:
        for line in audit.read(layout.audit, leave_torn=True):
            counter = str(line.event.get(MARKS, ""))
            named = max(named, int(counter)) if _COUNTER.fullmatch(counter) else named
            has_line = has_line or line.head == head
    except KeystoreError as error:
        raise TrustError(error.message, place=error.place, hint=error.hint) from error
    return named, has_line


def _made_anew(layout: Layout, releases: Sequence[Release], lost: str) -> Memory:
    """Return marks from what can still be read: they are as high as any release that was here."""
    marks, named, log_damaged = Marks(), 0, False
    with suppress(FerryError):
        marks = read_marks(layout)
    try:
        named, _ = _read_log(layout, marks.audit)
    except TrustError:
        log_damaged = True
    marks = replace(marks, counter=max(marks.counter, named))
    for release in releases:
        mark = ProductMark(sequence=release.sequence, version=release.version, manifest_sha256=release.manifest_sha256)
        marks = marks.with_product(release.name, mark).with_time(*_created(layout, release))
    return Memory(marks=marks, lost=lost, log_damaged=log_damaged)


def _created(layout: Layout, release: Release) -> tuple[datetime, ...]:
    """Return when the bundle of a release was made, as its signed manifest says, if that is still here."""
    with suppress(FerryError):
        manifest = installed_manifest(layout, (release,), release.number)
        return (datetime.fromisoformat(manifest.created),) if manifest else ()
    return ()
