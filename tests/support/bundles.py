"""Small signed bundles made in memory, and the ways to spoil them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bundler.archive import END, header, pack, pack_head, padding, read_head, spans
from bundler.attest import sign
from bundler.model.descriptor import OCTETS, Descriptor
from bundler.model.manifest import HEAD_NAMES, Entry, Item, Manifest, format_manifest, parse_manifest
from bundler.model.platform import parse_platform
from bundler.store import OCI_LAYOUT, describe_bytes
from keystore.sm2 import PrivateKey, PublicKey


class Key:
    """A signer with its key in memory, reproducible."""

    def __init__(self, scalar: int) -> None:
        self._private = PrivateKey(scalar)

    @property
    def public(self) -> PublicKey:
        return self._private.public

    @property
    def keyid(self) -> str:
        return self.public.keyid

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message, hedge=bytes(32))


SIGNER = Key(0x1F2E3D4C5B6A798897A6B5C4D3E2F1)
STRANGER = Key(0x2A3B4C5D6E7F8090A1B2C3D4E5F607)


def entry(name: str, data: bytes) -> Entry:
    """Describe bytes as an entry."""
    descriptor = describe_bytes(data, OCTETS)
    name = name or descriptor.entry_name
    return Entry(name=name, size=len(data), sha256=descriptor.sha256, sm3=descriptor.sm3, chunks=descriptor.chunks)


def small_manifest(blobs: list[bytes], **changes: object) -> tuple[Manifest, dict[str, bytes]]:
    """Return a manifest of fixed entries and some blobs, and the bytes of every entry."""
    contents = {
        "install.sh": b"#!/bin/sh\necho hello\n",
        "sbom.cdx.json": b"{}\n",
        "oci-layout": OCI_LAYOUT,
        "index.json": b'{"schemaVersion":2,"manifests":[]}',
    }
    entries = [entry(name, data) for name, data in contents.items()]
    for data in dict.fromkeys(blobs):
        described = entry("", data)
        entries.append(described)
        contents[described.name] = data
    items = tuple(
        Item(
            kind="file",
            name=f"data/{index}",
            version="1",
            purl=f"pkg:generic/data/{index}@1",
            descriptor=Descriptor(media_type=OCTETS, size=one.size, sha256=one.sha256, sm3=one.sm3),
            to=f"srv/data/{index}",
        )
        for index, one in enumerate(entries[4:])
    )
    manifest = Manifest(
        name="sample",
        version="1.0",
        description="",
        sequence=1,
        platform=parse_platform("linux/amd64"),
        created="2026-01-01T00:00:00Z",
        expires="2030-01-01T00:00:00Z",
        ferry_version="0.1.0",
        lock_sha256="0" * 64,
        lock_sm3="0" * 64,
        python_version="3.11",
        items=items,
        services=(),
        entries=tuple(entries),
    )
    return replace(manifest, **changes), contents  # type: ignore[arg-type]


def packed(manifest: Manifest, contents: Mapping[str, bytes], signer: Key = SIGNER) -> bytes:
    """Return the bytes of a bundle, signed."""
    document = format_manifest(manifest)
    head = zip(HEAD_NAMES, (document, *sign(document, signer)), strict=True)
    out = io.BytesIO()
    pack(out, head, [(one, contents[one.name]) for one in manifest.entries], lambda count: None)
    return out.getvalue()


def small_bundle(*, signer: Key = SIGNER, **changes: object) -> bytes:
    """Return a bundle of a few small blobs."""
    return packed(*small_manifest([b"one" * 1000, b"two" * 700, b"three"], **changes), signer)


@dataclass(frozen=True, kw_only=True)
class Defect:
    """One thing that is wrong with a bundle: how to make it so, and how it must be refused."""

    name: str
    spoil: Callable[[bytes], bytes]
    exit_code: int
    says: str


def _manifest(data: bytes) -> tuple[Manifest, int]:
    head = read_head(io.BytesIO(data))
    return parse_manifest(head.manifest), head.end


def _blob_span(data: bytes):  # type: ignore[no-untyped-def]
    manifest, end = _manifest(data)
    return next(span for span in spans(manifest, end) if span.entry.is_blob)


def _flip(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def _flip_blob(data: bytes) -> bytes:
    return _flip(data, _blob_span(data).data)


def _flip_manifest(data: bytes) -> bytes:
    return data.replace(b'"sequence": 1', b'"sequence": 9', 1)


def _cut(data: bytes) -> bytes:
    return data[: len(data) - len(END) - 512]


def _trail(data: bytes) -> bytes:
    return data + b"more" * 128


def _whole_entry(data: bytes) -> tuple[int, int]:
    span = _blob_span(data)
    return span.header, span.data + span.entry.size + padding(span.entry.size)


def _missing(data: bytes) -> bytes:
    start, end = _whole_entry(data)
    return data[:start] + data[end:]


def _duplicate(data: bytes) -> bytes:
    start, end = _whole_entry(data)
    return data[:end] + data[start:end] + data[end:]


def _extra(data: bytes) -> bytes:
    body = b"unlisted".ljust(512, b"\0")
    return data[: -len(END)] + header("unlisted", 8) + body + END


def _renamed(data: bytes) -> bytes:
    span = _blob_span(data)
    return data[: span.header] + header("../../etc/passwd", span.entry.size) + data[span.data :]


def _link(data: bytes) -> bytes:
    import tarfile

    span = _blob_span(data)
    info = tarfile.TarInfo(span.entry.name)
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/shadow"
    return data[: span.header] + info.tobuf(tarfile.GNU_FORMAT) + data[span.data :]


def _padding(data: bytes) -> bytes:
    manifest, end = _manifest(data)
    span = next(one for one in spans(manifest, end) if padding(one.entry.size))
    return _flip(data, span.data + span.entry.size)


def _resigned(data: bytes, signer: Key) -> bytes:
    """Replace both signatures by those of another key."""
    head = read_head(io.BytesIO(data))
    return pack_head(zip(HEAD_NAMES, (head.manifest, *sign(head.manifest, signer)), strict=True)) + data[head.end :]


def with_head(data: bytes, **changes: bytes) -> bytes:
    """Return a bundle with other entries in its head."""
    head = replace(read_head(io.BytesIO(data)), **changes)  # type: ignore[arg-type]
    return pack_head(head.entries()) + data[head.end :]


def _malleable(data: bytes) -> bytes:
    """Write the same detached signature in a longer DER form."""
    der = read_head(io.BytesIO(data)).signature
    return with_head(data, signature=bytes([der[0], 0x81, der[1]]) + der[2:])


def _undetached(data: bytes) -> bytes:
    return with_head(data, signature=b"\0")


def _foreign_envelope(data: bytes) -> bytes:
    other = format_manifest(small_manifest([], version="2.0")[0])
    return with_head(data, envelope=sign(other, SIGNER)[1])


def _no_bundle(data: bytes) -> bytes:
    return b"PK\x03\x04" + data[4:]


DEFECTS = (
    Defect(name="one bit of a blob flipped", spoil=_flip_blob, exit_code=6, says="expected sm3"),
    Defect(name="the manifest changed", spoil=_flip_manifest, exit_code=7, says="of another manifest"),
    Defect(name="cut short", spoil=_cut, exit_code=6, says="the bundle is cut short"),
    Defect(name="data behind the end", spoil=_trail, exit_code=6, says="followed by other data"),
    Defect(name="an entry missing", spoil=_missing, exit_code=6, says="the bundle is cut short"),
    Defect(name="an entry twice", spoil=_duplicate, exit_code=6, says="followed by other data"),
    Defect(name="an entry added", spoil=_extra, exit_code=6, says="followed by other data"),
    Defect(name="an entry that leads out", spoil=_renamed, exit_code=6, says='got "../../etc/passwd"'),
    Defect(name="a link for a blob", spoil=_link, exit_code=6, says="not a regular file"),
    Defect(name="data hidden in the padding", spoil=_padding, exit_code=6, says="expected zero padding"),
    Defect(
        name="signed by a stranger",
        spoil=lambda data: _resigned(data, STRANGER),
        exit_code=7,
        says="expected a signature by a trusted key, got signatures by ",
    ),
    Defect(name="unsigned", spoil=_undetached, exit_code=7, says="the detached signature is not the one"),
    Defect(name="a malleable signature", spoil=_malleable, exit_code=7, says="the detached signature is not the one"),
    Defect(name="the envelope of another", spoil=_foreign_envelope, exit_code=7, says="of another manifest"),
    Defect(name="no bundle at all", spoil=_no_bundle, exit_code=6, says="the file is not a bundle"),
)


def spoil_file(path: Path, defect: Defect, out: Path) -> Path:
    """Write a spoiled copy of a bundle."""
    out.write_bytes(defect.spoil(path.read_bytes()))
    return out
