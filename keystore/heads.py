"""Check an audit log, with all its files, against the heads that its key signed, in the log and outside of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from keystore import audit, document, moment
from keystore.chain import HINT, LINE_BYTES, START, Head, Line, parse_line
from keystore.errors import KeystoreError, SignatureError
from keystore.public import VerifyingKey

RETENTION = timedelta(days=180)
_SHAPE = {"seq": int, "hash": str, "keyid": str, "signature": str}
_RETIRED = {"seq": int, "hash": str, "time": str}


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What was found: files, the first line and the last, signed heads, and the line of the last of these."""

    files: int
    first: int
    last: int
    heads: int
    signed: int

    @property
    def lines(self) -> int:
        """How many lines there are."""
        return self.last - self.first + 1 if self.last else 0


def verify(
    log: Path,
    keys: Sequence[VerifyingKey],
    anchors: Path | None,
    seen: Callable[[Line], None] = lambda _line: None,
) -> Checked:
    """Check the chain of a log and every signed head against it; without keys the chain alone.

    `seen` is told every line, once it is checked itself.
    Raises: KeystoreError that says what differs and where.
    """
    begin = _begin(log)
    check = _Check({key.keyid: key for key in keys}, begin)
    outside = dict(check.outside(anchors)) if anchors is not None and keys else {}
    last = begin
    for line in audit.read(log, begin=begin):
        check.line(line, log, last)
        if line.seq in outside:
            check.same(line, *outside.pop(line.seq))
        last = line.head
        seen(line)
    check.end(log, last, outside)
    return Checked(
        files=len(audit.segments(log)) + log.exists(),
        first=begin.count + 1,
        last=last.count if last != begin else 0,
        heads=len(check.signed),
        signed=max(check.signed, default=0),
    )


class _Check:
    """What is gathered on the way through a log."""

    def __init__(self, keys: Mapping[str, VerifyingKey], begin: Head) -> None:
        self._keys = keys
        self._begin = begin
        self._retired = begin.count == 0
        self.signed: set[int] = set()

    def outside(self, anchors: Path) -> Iterator[tuple[int, tuple[str, str]]]:
        """Yield the signed heads of another file: the line, its hash, and where that is told."""
        for at, data in enumerate(_lines_of(anchors), 1):
            place = f"{anchors}: line {at}"
            seq, made = self._verified(document.parse(data, place), place)
            # What was kept for its time and removed is not there to be compared.
            if seq > self._begin.count:
                yield seq, (made, place)

    def line(self, line: Line, log: Path, before: Head) -> None:
        """Check what one line tells of the log itself."""
        kind = line.event.get("kind")
        place = f"{log}: seq {line.seq}"
        if kind == "head" and self._keys:
            if self._verified(line.event, place) != (before.count, before.hash):
                raise KeystoreError("expected a head of the line before, got another", place=place, hint=HINT)
            self.signed.add(before.count)
        elif kind == "retired":
            self._retire(line, place)

    def same(self, line: Line, made: str, place: str) -> None:
        """Refuse a line that is not the one of which a head outside tells."""
        if line.hash != made:
            raise KeystoreError(f"expected the line {line.seq} that was signed, got another", place=place, hint=HINT)
        self.signed.add(line.seq)

    def end(self, log: Path, last: Head, left: Mapping[int, tuple[str, str]]) -> None:
        """Refuse a log that ends before a signed head, or begins after its first line without a reason."""
        if left:
            seq = max(left)
            told = f"expected {seq} lines or more, as the signed head says, got {last.count}"
            raise KeystoreError(told, place=left[seq][1], hint=HINT)
        if not self._retired:
            count = self._begin.count
            told = f"expected line 1 first, got {count + 1}: nothing says that {count} lines were kept for their time"
            raise KeystoreError(told, place=str(log), hint=HINT)

    def _retire(self, line: Line, place: str) -> None:
        """Note that earlier lines were removed, unless that was too early."""
        told = document.fields(line.event, place, _RETIRED, exact=False)
        age = moment.parse(line.time, place) - moment.parse(told["time"], place)
        if age < RETENTION:
            raise KeystoreError(
                f"expected {RETENTION.days} days of retention or more, got {age.days}", place=place, hint=HINT
            )
        if (told["seq"], told["hash"]) == (self._begin.count, self._begin.hash):
            self._retired = True

    def _verified(self, found: Mapping[str, Any], place: str) -> tuple[int, str]:
        one = document.fields(found, place, _SHAPE, exact=False)
        signature = document.decode_base64(one["signature"], f"{place}.signature")
        key = self._keys.get(one["keyid"])
        if key is None:
            told = f"expected a head signed by {' or '.join(sorted(self._keys))}, got one by {one['keyid']}"
            hint = "name the public key of every device that wrote this log, each with --key"
            raise KeystoreError(told, place=place, hint=hint)
        try:
            key.verify(signature, document.canonical({"seq": one["seq"], "hash": one["hash"]}))
        except SignatureError as error:
            raise KeystoreError("expected a head that the key signed, got another", place=place, hint=HINT) from error
        return one["seq"], one["hash"]


def _begin(log: Path) -> Head:
    """Return what the first line that is there says it follows."""
    first = (*audit.segments(log), log)[0]
    data = next(iter(_lines_of(first)), b"")
    if not data:
        return Head(count=0, hash=START)
    line = parse_line(data, f"{first}: line 1")
    return Head(count=line.seq - 1, hash=line.prev if line.seq > 1 else START)


def _lines_of(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while data := file.readline(LINE_BYTES + 1):
                yield data
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise KeystoreError(f"expected a usable log, got '{reason}'", place=str(path)) from error
