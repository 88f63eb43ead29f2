"""The marks of a host: the highest sequence of each product, versions of revocations, the latest time it has seen.

They are one document, sealed by a secret of this host and written whole or not at all. Each writing raises a counter,
and names where the audit log ended: the log in turn names the counter, so that either one put back shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self

from bundler.errors import HostError, TrustError
from bundler.installer.layout import Layout
from bundler.model.document import Fields
from keystore import audit, moment
from keystore.errors import KeystoreError
from keystore.marks import host_secret, read_sealed, read_secret, write_sealed

FORMAT = "ferry/marks/v1"
NO_LINE = audit.Head(count=0, hash=audit.START)


@dataclass(frozen=True, kw_only=True, slots=True)
class ProductMark:
    """The highest sequence of a product that this host has had, and which bundle had it."""

    sequence: int
    version: str
    manifest_sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Marks:
    """What a host remembers; a host that has had nothing has `counter` 0.

    `products` are by name, `revocations` are versions by the id of the anchor that signs them. `audit` is where the
    audit log ended when the marks were written.
    """

    counter: int = 0
    last_seen: datetime | None = None
    products: Mapping[str, ProductMark] = field(default_factory=dict)
    revocations: Mapping[str, int] = field(default_factory=dict)
    audit: audit.Head = NO_LINE

    def with_product(self, name: str, mark: ProductMark) -> Self:
        """Raise the mark of a product; a lower sequence changes nothing."""
        known = self.products.get(name)
        if known is not None and known.sequence > mark.sequence:
            return self
        return replace(self, products={**self.products, name: mark})

    def oldest_revocations(self, anchor: str) -> int:
        """Return the lowest version of an anchor's revocations that is not older than what was here; 0 for any."""
        return self.revocations.get(anchor, 0)

    def with_revocations(self, versions: Mapping[str, int]) -> Self:
        """Raise versions of revocations, by anchor; lower ones change nothing."""
        raised = {anchor: max(version, self.oldest_revocations(anchor)) for anchor, version in versions.items()}
        return replace(self, revocations={**self.revocations, **raised})

    def with_time(self, *times: datetime) -> Self:
        """Raise the latest time."""
        return replace(self, last_seen=max(times if self.last_seen is None else (self.last_seen, *times)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Memory:
    """The marks that count; `lost` says why they are made anew from the release records, "" when they stand.

    With `log_damaged` the audit log cannot be believed either, and none can be appended to it.
    """

    marks: Marks = field(default_factory=Marks)
    lost: str = ""
    log_damaged: bool = False


def judge_at(marks: Marks, now: datetime) -> datetime:
    """Return the time at which ends are judged: a clock that was set back does not make them later."""
    return now if marks.last_seen is None else max(now, marks.last_seen)


def read_marks(layout: Layout) -> Marks:
    """Return the marks of a host; those of a host that has none are empty.

    Raises:
        TrustError: they were altered, another host wrote them, or their secret is gone.
        HostError: they cannot be read.
    """
    try:
        layout.marks.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Marks()
    except OSError as error:
        raise HostError(f"the marks cannot be read: {error.strerror}", place=str(layout.marks)) from error
    try:
        return _parse(read_sealed(layout.marks, read_secret(layout.secret)), str(layout.marks))
    except KeystoreError as error:
        raise TrustError(error.message, place=error.place, hint=error.hint) from error


def write_marks(layout: Layout, marks: Marks, *, anew: bool = False) -> Marks:
    """Seal marks with the next counter, and with where the audit log ends now; return them as they stand there.

    `anew` makes a new secret first: nothing that was sealed before counts any more.

    Raises:
        HostError: they cannot be written; the old ones stay.
    """
    with _writing():
        if anew:
            layout.secret.unlink(missing_ok=True)
        secret = host_secret(layout.secret)
        head = audit.last(layout.audit)
        written = replace(marks, counter=marks.counter + 1, audit=head)
        write_sealed(layout.marks, _document(written), secret)
    return written


def remove_marks(layout: Layout) -> None:
    """Forget all of them, for a host that is to be as it was before it had any."""
    layout.marks.unlink(missing_ok=True)


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except KeystoreError as error:
        raise HostError(error.message, place=error.place, hint=error.hint) from error


def _document(marks: Marks) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "counter": marks.counter,
        "last_seen": moment.stamp(marks.last_seen) if marks.last_seen else "",
        "audit": {"count": marks.audit.count, "hash": marks.audit.hash},
        "products": {
            name: {"sequence": mark.sequence, "version": mark.version, "manifest_sha256": mark.manifest_sha256}
            for name, mark in marks.products.items()
        },
        "revocations": dict(marks.revocations),
    }


def _parse(document: Mapping[str, Any], place: str) -> Marks:
    """Parse what this host sealed; fields of a later Ferry are allowed."""
    fields = Fields(document, place=f"{place}: document", error=TrustError)
    fields.text("format", match=FORMAT)
    head = fields.mapping("audit")
    products, revocations = fields.mapping("products"), fields.mapping("revocations")
    last_seen = fields.text("last_seen")
    return Marks(
        counter=fields.integer("counter", least=1),
        last_seen=moment.parse(last_seen, f"{place}: document.last_seen") if last_seen else None,
        products={name: _parse_product(products.mapping(name)) for name in document["products"]},
        revocations={name: revocations.integer(name) for name in document["revocations"]},
        audit=audit.Head(count=head.integer("count"), hash=head.hex("hash")),
    )


def _parse_product(fields: Fields) -> ProductMark:
    return ProductMark(
        sequence=fields.integer("sequence"),
        version=fields.text("version"),
        manifest_sha256=fields.hex("manifest_sha256"),
    )
