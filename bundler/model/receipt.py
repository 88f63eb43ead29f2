"""What a host says it holds: a receipt, signed by the host, and the list of what it lacks for a differential."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bundler.errors import FerryError, IntegrityError
from bundler.model.document import Fields
from bundler.model.entry import Entry, entry_document, parse_entry
from bundler.model.platform import Platform, parse_platform

RECEIPT_FORMAT = "ferry/receipt/v1"
RECEIPT_TYPE = "application/vnd.ferry.receipt.v1+json"
LACKING_FORMAT = "ferry/lacking/v1"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_PREFIX_BYTES = 8


@dataclass(frozen=True, slots=True)
class Held:
    """Digests of blobs in a compact form: the first eight bytes of each SHA-256, sorted.

    Among a million blobs one that is not there passes for one of them once in 10**13: it is found lacking then.
    """

    prefixes: tuple[bytes, ...]

    @staticmethod
    def of(digests: Iterable[str]) -> Held:
        """Return the compact form of SHA-256 digests in hex."""
        return Held(tuple(sorted({bytes.fromhex(one)[:_PREFIX_BYTES] for one in digests})))

    def as_set(self) -> frozenset[bytes]:
        """Return the prefixes for looking up."""
        return frozenset(self.prefixes)

    def document(self) -> dict[str, Any]:
        """Return it as it stands in a receipt."""
        return {"count": len(self.prefixes), "packed": base64.b64encode(b"".join(self.prefixes)).decode()}


def prefix_of(sha256: str) -> bytes:
    """Return what stands for a digest in hex."""
    return bytes.fromhex(sha256)[:_PREFIX_BYTES]


def _held(fields: Fields) -> Held:
    count = fields.integer("count")
    try:
        packed = base64.b64decode(fields.text("packed"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise fields.refuse("packed", "expected base64") from error
    if len(packed) != count * _PREFIX_BYTES:
        raise fields.refuse("packed", f"expected {count * _PREFIX_BYTES} bytes, got {len(packed)}")
    held = Held(tuple(packed[at : at + _PREFIX_BYTES] for at in range(0, len(packed), _PREFIX_BYTES)))
    if held.prefixes != tuple(sorted(set(held.prefixes))):
        raise fields.refuse("packed", "expected sorted prefixes, each once")
    return held


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldRelease:
    """A release on the host; `current` is the one that runs."""

    name: str
    version: str
    sequence: int
    manifest_sha256: str
    current: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What a host holds. `marks` are the highest sequence of each product that it has had; `key` is its own, in PEM.

    `deflate` says which bytes its zlib makes (see `bundler.delta.deflate`).
    """

    created: str
    platform: Platform
    os_id: str
    os_version: str
    ferry_version: str
    deflate: str
    releases: tuple[HeldRelease, ...]
    marks: tuple[tuple[str, int], ...]
    held: Held
    key: str

    @property
    def current(self) -> HeldRelease | None:
        """The release that runs, else the last one."""
        return next((one for one in self.releases if one.current), self.releases[-1] if self.releases else None)


@dataclass(frozen=True, kw_only=True, slots=True)
class LackingBlob:
    """A blob that a differential needs and a host has not, or has damaged; `item` is what it is of."""

    entry: Entry
    item: str
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lacking:
    """What a host lacks for a differential of this release, and which blobs were found right."""

    name: str
    version: str
    sequence: int
    release_sha256: str
    deflate: str
    blobs: tuple[LackingBlob, ...]
    held: Held


def format_receipt(receipt: Receipt) -> bytes:
    """Write a receipt as JSON, which is then signed."""
    document = {
        "format": RECEIPT_FORMAT,
        "created": receipt.created,
        "platform": str(receipt.platform),
        "os": {"id": receipt.os_id, "version": receipt.os_version},
        "ferry": {"version": receipt.ferry_version},
        "deflate": receipt.deflate,
        "releases": [
            {
                "name": one.name,
                "version": one.version,
                "sequence": one.sequence,
                "manifest_sha256": one.manifest_sha256,
                "current": one.current,
            }
            for one in receipt.releases
        ],
        "marks": dict(receipt.marks),
        "blobs": receipt.held.document(),
        "key": receipt.key,
    }
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def parse_receipt(data: bytes, *, place: str) -> Receipt:
    """Parse a receipt; fields of a later Ferry are allowed.

    Raises:
        IntegrityError: it is none; the message names the field.
    """
    fields = _fields(data, RECEIPT_FORMAT, place)
    system, marks = fields.mapping("os"), fields.mapping("marks")
    return Receipt(
        created=fields.moment("created", form=_TIME, what="a time in UTC"),
        platform=_platform(fields),
        os_id=system.text("id"),
        os_version=system.text("version"),
        ferry_version=fields.mapping("ferry").text("version"),
        deflate=fields.text("deflate"),
        releases=tuple(_release(Fields(v, place=p, error=IntegrityError)) for p, v in fields.items("releases")),
        marks=tuple((name, marks.integer(name)) for name in sorted(marks.names())),
        held=_held(fields.mapping("blobs")),
        key=fields.text("key"),
    )


def _fields(data: bytes, form: str, place: str) -> Fields:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("expected JSON", place=place) from error
    fields = Fields(document, place=place, error=IntegrityError)
    if (got := fields.text("format")) != form:
        raise fields.refuse("format", f'expected "{form}", got "{got}"', "use a Ferry that knows this format")
    return fields


def _platform(fields: Fields) -> Platform:
    text = fields.text("platform")
    try:
        return parse_platform(text)
    except FerryError as error:
        raise fields.refuse("platform", error.message) from error


def _release(fields: Fields) -> HeldRelease:
    return HeldRelease(
        name=fields.text("name"),
        version=fields.text("version"),
        sequence=fields.integer("sequence"),
        manifest_sha256=fields.hex("manifest_sha256"),
        current=fields.flag("current"),
    )


def lacking_document(lacking: Lacking) -> dict[str, Any]:
    """Return the document of what a host lacks."""
    return {
        "format": LACKING_FORMAT,
        "name": lacking.name,
        "version": lacking.version,
        "sequence": lacking.sequence,
        "release": lacking.release_sha256,
        "deflate": lacking.deflate,
        "lacking": [{**entry_document(one.entry), "item": one.item, "why": one.why} for one in lacking.blobs],
        "blobs": lacking.held.document(),
    }


def format_lacking(lacking: Lacking) -> bytes:
    """Write what a host lacks as JSON."""
    return (json.dumps(lacking_document(lacking), indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def parse_lacking(data: bytes, *, place: str) -> Lacking:
    """Parse what a host lacks.

    Raises:
        IntegrityError: it is no such list; the message names the field.
    """
    fields = _fields(data, LACKING_FORMAT, place)
    return Lacking(
        name=fields.text("name"),
        version=fields.text("version"),
        sequence=fields.integer("sequence"),
        release_sha256=fields.hex("release"),
        deflate=fields.text("deflate"),
        blobs=tuple(_lacking_blob(Fields(v, place=p, error=IntegrityError)) for p, v in fields.items("lacking")),
        held=_held(fields.mapping("blobs")),
    )


def _lacking_blob(fields: Fields) -> LackingBlob:
    return LackingBlob(item=fields.text("item"), why=fields.text("why"), entry=parse_entry(fields))
