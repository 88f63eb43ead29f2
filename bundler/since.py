"""What the host of a differential has, as documents tell: bundles, receipts, and lists of what it lacks.

None of them is believed: a wrong one makes a differential that lacks blobs, which the host says before it changes
anything. So an unsigned list, a receipt of an unknown host and a bundle whose signature nobody checked all do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bundler.archive import read_head, spans
from bundler.delta.deflate import RUNTIME_FINGERPRINT
from bundler.delta.make import mapped
from bundler.errors import IntegrityError, RecipeError, TrustError
from bundler.model.differential import Base
from bundler.model.manifest import Entry, Manifest, parse_manifest
from bundler.model.platform import Platform
from bundler.model.receipt import (
    LACKING_FORMAT,
    RECEIPT_TYPE,
    Held,
    HeldRelease,
    Lacking,
    Receipt,
    parse_lacking,
    parse_receipt,
    prefix_of,
)
from bundler.model.whole import whole_manifest
from bundler.volumes import is_volume
from keystore.envelope import open_envelope, parse_envelope
from keystore.errors import KeystoreError
from keystore.sm2 import PublicKey

_MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Since:
    """One document that says what a host has: `has` by SHA-256.

    `bundle` has the bytes, at the places in `carried`. `deflate` says which bytes the host's zlib makes; `platform` is
    missing where it is not said. `key` signed a receipt.
    """

    base: Base
    has: Callable[[str], bool]
    deflate: str
    platform: Platform | None = None
    bundle: Path | None = None
    manifest: Manifest | None = None
    carried: tuple[tuple[Entry, int], ...] = ()
    key: PublicKey | None = None


def read_since(path: Path, receipt_keys: Sequence[str] = ()) -> Since:
    """Read a bundle, a receipt or a list of what a host lacks, whichever the file is.

    `receipt_keys` are the keyids, or the fingerprints without spaces, of hosts whose receipts are taken; without any,
    every receipt is.

    Raises:
        RecipeError: the file cannot be read.
        IntegrityError: it is none of them, or damaged.
        TrustError: a receipt is not signed by one of these hosts.
    """
    try:
        with path.open("rb") as stream:
            first = stream.read(1)
            if first != b"{":
                return _bundle(path)
            stream.seek(0)
            data = stream.read(_MOST_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"it cannot be read: {error.strerror}", place=str(path)) from error
    if len(data) > _MOST_BYTES:
        raise IntegrityError(f"expected at most {_MOST_BYTES} bytes", place=str(path))
    return _lacking(data, path) if LACKING_FORMAT.encode() in data else _receipt(data, path, receipt_keys)


def _bundle(path: Path) -> Since:
    if is_volume(path):
        raise RecipeError(
            "expected a whole bundle, this is one volume of it", place=str(path), hint="name the bundle that was split"
        )
    with path.open("rb") as stream:
        head = read_head(stream)
    manifest = parse_manifest(head.manifest)
    document, whole = whole_manifest(head.manifest, manifest)
    held = frozenset(entry.sha256 for entry in whole.entries)
    return Since(
        base=_base("bundle", whole, document),
        has=held.__contains__,
        # The Ferry of a host runs on the Python that came with its bundle.
        deflate=RUNTIME_FINGERPRINT,
        platform=whole.platform,
        bundle=path,
        manifest=whole,
        carried=tuple((span.entry, span.data) for span in spans(manifest, head.end)),
    )


def _receipt(data: bytes, path: Path, receipt_keys: Sequence[str]) -> Since:
    receipt, key = _signed_receipt(data, path, receipt_keys)
    current = receipt.current
    if current is None:
        raise RecipeError("expected a receipt of a host with a release, it has none", place=str(path))
    return Since(
        base=_base("receipt", current, data),
        has=_lookup(receipt.held),
        deflate=receipt.deflate,
        platform=receipt.platform,
        key=key,
    )


def _signed_receipt(data: bytes, path: Path, receipt_keys: Sequence[str]) -> tuple[Receipt, PublicKey]:
    """Return a receipt and the key in it, which signed it and is one of `receipt_keys` if there are any."""
    place = str(path)
    try:
        receipt = parse_receipt(parse_envelope(data, payload_type=RECEIPT_TYPE).payload, place=place)
        key = PublicKey.from_pem(receipt.key)
        open_envelope(data, [key], 1, payload_type=RECEIPT_TYPE)
    except KeystoreError as error:
        raise IntegrityError(
            f"expected a receipt that its host signed: {error}", place=place, hint="carry the receipt again"
        ) from error
    if receipt_keys and not {key.keyid, key.fingerprint().replace(" ", "")} & set(receipt_keys):
        raise TrustError(
            f"expected a receipt signed by {_named(receipt_keys)}, got one by {key.fingerprint()}",
            place=place,
            hint="compare it with what `ferry host receipt` shows on that host",
        )
    return receipt, key


def _named(keyids: Sequence[str]) -> str:
    return " or ".join(keyids)


def _lacking(data: bytes, path: Path) -> Since:
    lacking = parse_lacking(data, place=str(path))
    return Since(
        base=_base("lacking", lacking, data),
        has=_lookup(lacking.held),
        deflate=lacking.deflate,
    )


def _base(kind: str, release: Manifest | HeldRelease | Lacking, document: bytes) -> Base:
    return Base(
        kind=kind,
        name=release.name,
        version=release.version,
        sequence=release.sequence,
        sha256=hashlib.sha256(document).hexdigest(),
    )


def _lookup(held: Held) -> Callable[[str], bool]:
    known = held.as_set()
    return lambda sha256: prefix_of(sha256) in known


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """All that a differential is made against: what every document says that the host has."""

    documents: tuple[Since, ...]

    def has(self, sha256: str) -> bool:
        """Say whether the host has a blob, by all that is known."""
        return all(one.has(sha256) for one in self.documents)

    def check(self, name: str, platform: Platform) -> None:
        """Refuse what was made of another product or for another platform.

        Raises:
            RecipeError: the message names it.
        """
        for one in self.documents:
            if one.base.name != name:
                raise RecipeError(f'expected a base of "{name}", got {one.base}', place="--since")
            if one.platform is not None and one.platform != platform:
                raise RecipeError(f"expected a base for {platform}, {one.base} is for {one.platform}", place="--since")

    def deflates_as(self, fingerprint: str) -> bool:
        """Say whether the host's zlib makes the bytes that are known by this fingerprint."""
        return all(one.deflate == fingerprint for one in self.documents)

    def manifests(self) -> Iterator[tuple[Manifest, frozenset[str]]]:
        """Yield the full manifest of each bundle, and the digests of what its file has of it."""
        for one in self.documents:
            if one.manifest is not None:
                yield one.manifest, frozenset(entry.sha256 for entry, _ in one.carried)

    @contextmanager
    def blob(self, sha256: str) -> Iterator[memoryview]:
        """Give a blob of a bundle, straight from its file and checked.

        Raises:
            IntegrityError: the file has other bytes there.
        """
        path, entry, at = next(
            (one.bundle, entry, at)
            for one in self.documents
            for entry, at in one.carried
            if one.bundle and entry.sha256 == sha256
        )
        with mapped(path) as file:
            data = file[at : at + entry.size]
            if hashlib.sha256(data).hexdigest() != sha256:
                raise IntegrityError(
                    f'expected sha256 {sha256} of "{entry.name}", other bytes are there',
                    place=str(path),
                    hint="the bundle is damaged: ferry verify says where",
                )
            yield data
