"""The audit log of a host: who did what here, when, to which bundle, and how it ended.

Every entry is on the disk before the work goes on, and is told to the system's log too, from where a site collects it:
what reached that cannot be changed here any more.

Source: GB/T 22239-2019, 8.1.4.3: a record has the time, the user, the kind of the event and whether it succeeded.
"""

from __future__ import annotations

import hashlib
import json
import os
import pwd
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from bundler.errors import FerryError, HostError
from bundler.installer.layout import Layout
from bundler.installer.marks import read_marks
from keystore import audit, disk
from keystore.errors import KeystoreError

# Outcomes of an entry, and its field that names the counter of the marks.
BEGUN, DONE, FAILED, REFUSED = "begun", "done", "failed", "refused"
MARKS = "marks"
ROTATE_BYTES = 4 * 1024 * 1024
_NOBODY = 2**32 - 1
_MOST_CHARACTERS = 500
# Facility authpriv, severity notice: RFC 5424, 6.2.1.
_PRIORITY = 10 * 8 + 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Operator:
    """Who runs a command; `login_uid` is who logged in, as the kernel knows it: neither su nor sudo change that."""

    user: str
    uid: str
    login_uid: str = ""


def this_operator() -> Operator:
    """Return who runs this process; behind sudo it is who called that."""
    uid = str(os.getuid())
    if os.getuid() == 0 and os.environ.get("SUDO_UID", "").isdecimal():
        uid = os.environ["SUDO_UID"]
    login = ""
    with suppress(OSError, ValueError):
        number = int(Path("/proc/self/loginuid").read_text())
        login = "" if number == _NOBODY else str(number)
    return Operator(user=_name(uid), uid=uid, login_uid=login)


def _name(uid: str) -> str:
    with suppress(KeyError, OverflowError):
        return pwd.getpwuid(int(uid)).pw_name
    return ""


@dataclass(frozen=True, kw_only=True, slots=True)
class HostLog:
    """Writes the entries of one run, which began at `now` by this host's clock."""

    layout: Layout
    now: datetime
    operator: Operator = field(default_factory=this_operator)
    _began: float = field(default_factory=time.monotonic)

    def write(self, kind: str, outcome: str, **details: str) -> audit.Head:
        """Append an entry; return where the log ends.

        Raises:
            HostError: it cannot be written: what it tells of must not be done.
        """
        event = self._event(kind, outcome, details)
        try:
            disk.make_directory(self.layout.audit.parent)
            head = audit.append(self.layout.audit, event, now=self._time(), most_bytes=ROTATE_BYTES)
        except KeystoreError as error:
            _remove_empty(self.layout)
            raise HostError(
                f"the audit log cannot be written: {error.message}",
                place=error.place,
                hint=error.hint or "what is not on record is not done: mend the disk or free some space, run it again",
            ) from error
        _tell(self.layout, event, f"{head.count} {head.hash}")
        return head

    def end(self, kind: str, outcome: str, **details: str) -> None:
        """Append how something ended; where the log itself is gone with it, tell the system's log alone.

        Raises:
            HostError: it cannot be written.
        """
        if audit.exists(self.layout.audit):
            self.write(kind, outcome, **details)
        else:
            _tell(self.layout, self._event(kind, outcome, details), "-")

    def _event(self, kind: str, outcome: str, details: dict[str, str]) -> dict[str, str]:
        who = {"user": self.operator.user, "uid": self.operator.uid, "login_uid": self.operator.login_uid}
        found = {"kind": kind, "outcome": outcome, MARKS: _counter(self.layout), **who, **details}
        return {name: value[:_MOST_CHARACTERS] for name, value in found.items() if value}

    def _time(self) -> datetime:
        return self.now + timedelta(seconds=time.monotonic() - self._began)


@contextmanager
def on_record(log: HostLog, kind: str, **details: str) -> Iterator[None]:
    """Write that something begins, and how it ends; it does not begin when that cannot be written.

    Raises:
        HostError: an entry cannot be written.
    """
    log.write(kind, BEGUN, **details)
    try:
        yield
    except BaseException as error:
        # What went wrong matters more than that its end cannot be written.
        with suppress(FerryError, KeystoreError):
            log.end(kind, FAILED, **details, error=_first_line(error))
        raise
    log.end(kind, DONE, **details)


@contextmanager
def refusal_on_record(log: HostLog, kind: str, **details: str) -> Iterator[None]:
    """Write that something was refused before it began, if it is; a host without a log gets none by that."""
    try:
        yield
    except (FerryError, KeystoreError) as error:
        with suppress(FerryError, KeystoreError):
            log.end(kind, REFUSED, **details, error=_first_line(error))
        raise


def list_anchors(layout: Layout) -> dict[str, str]:
    """Return the SHA-256 of each file that says whom this host trusts, by its name."""
    paths = sorted(layout.trust.glob("**/*"))
    return {
        str(path.relative_to(layout.trust)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
        if path.is_file()
    }


def record_anchors(log: HostLog, before: Mapping[str, str]) -> None:
    """Write an entry for each of these files that has changed since `before`.

    Raises:
        HostError: one cannot be written.
    """
    after = list_anchors(log.layout)
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name, ""), after.get(name, "")
        if old != new:
            change = "added" if not old else "changed" if new else "removed"
            log.end("trust-anchor", DONE, change=change, file=name, **{"from": old, "to": new})


def set_aside(layout: Layout) -> Path | None:
    """Move a log that is damaged out of the way, as evidence; return where it stands now, None where there was none."""
    directory = layout.audit.parent
    if not directory.exists():
        return None
    numbers = [int(path.suffix[1:]) for path in layout.state.glob("audit.*") if path.suffix[1:].isdecimal()]
    place = directory.with_name(f"audit.{max(numbers, default=0) + 1}")
    directory.rename(place)
    return place


def _remove_empty(layout: Layout) -> None:
    """Leave nothing where the first entry ever could not be written."""
    with suppress(OSError, KeystoreError):
        if audit.last(layout.audit).count == 0:
            layout.audit.unlink(missing_ok=True)
            layout.audit.parent.rmdir()
            layout.state.rmdir()


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _counter(layout: Layout) -> str:
    """Return the counter of the marks as they are now, "" where they cannot be read."""
    try:
        return str(read_marks(layout).counter)
    except FerryError:
        return ""


def _tell(layout: Layout, event: dict[str, str], where: str) -> None:
    """Send an entry to the system's log, if one listens; a host without one has the file alone."""
    text = json.dumps(event, sort_keys=True, separators=(",", ":"))
    message = f"<{_PRIORITY}>ferry[{os.getpid()}]: audit {where} {text}".encode()
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as system:
        system.setblocking(False)
        system.sendto(message, str(layout.at("/dev/log")))
