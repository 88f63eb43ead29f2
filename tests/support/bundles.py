"""Small signed bundles made in memory, and the ways to spoil them."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from trusted import certificate, revocation_list, root_document

from bundler.anchors import parse_anchor
from bundler.archive import END, header, pack, pack_head, padding, read_head, spans
from bundler.attest import sign
from bundler.model.descriptor import OCTETS, Descriptor
from bundler.model.manifest import HEAD_NAMES, Entry, Item, Manifest, format_manifest, parse_manifest
from bundler.model.platform import parse_platform
from bundler.model.trust import TrustDocument
from bundler.store import OCI_LAYOUT, describe_bytes
from bundler.verify import Policy
from keystore import ed25519, p256
from keystore.envelope import Envelope, parse_envelope
from keystore.signer import Signer
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
OFFICER = Key(0x3B4C5D6E7F8090A1B2C3D4E5F60718)
SECOND = Key(0x4C5D6E7F8090A1B2C3D4E5F6071829)
EDWARDS = ed25519.PrivateKey(bytes(range(32)))
NIST = p256.PrivateKey(0x5D6E7F8090A1B2C3D4E5F60718293A)


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
    """One thing that is wrong with a bundle: how to make it so, and how it must be refused.

    `trust` are the files that the verifier trusts, none for the key of `SIGNER`; `demands` the schemes that it demands,
    `oldest_revocations` the version of the list that it has seen.
    """

    name: str
    spoil: Callable[[bytes], bytes]
    exit_code: int
    says: str
    trust: tuple[bytes, ...] = ()
    demands: tuple[str, ...] = ()
    oldest_revocations: int = 0

    def trust_files(self, directory: Path) -> tuple[Path, ...]:
        """Write what the verifier trusts into files."""
        files = self.trust or (SIGNER.public.pem().encode(),)
        paths = tuple(directory / f"trust-{index}" for index in range(len(files)))
        for path, data in zip(paths, files, strict=True):
            path.write_bytes(data)
        return paths

    def policy(self) -> Policy:
        """Return the policy that must refuse it."""
        files = self.trust or (SIGNER.public.pem().encode(),)
        return Policy(
            trusted=tuple(parse_anchor(data, "the test") for data in files),
            demands=self.demands or None,
            oldest_revocations={"root": self.oldest_revocations},
        )


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


def signed_again(data: bytes, *signers: Signer, **carried: object) -> bytes:
    """Return a bundle with the same manifest, signed by these keys, that carries this."""
    head = read_head(io.BytesIO(data))
    given: dict[str, object] = {"roots": (), "revocations": b"", "certificates": (), **carried}
    document = TrustDocument(**given)  # type: ignore[arg-type]
    signed = sign(head.manifest, *signers, carried=document)
    return pack_head(zip(HEAD_NAMES, (head.manifest, *signed), strict=True)) + data[head.end :]


def _envelope(data: bytes, change: Callable[[Envelope], Envelope]) -> bytes:
    """Change what the envelope holds."""
    envelope = read_head(io.BytesIO(data)).envelope
    return with_head(data, envelope=change(parse_envelope(envelope)).encode().ljust(len(envelope)))


def _no_signature(data: bytes) -> bytes:
    return _envelope(data, lambda one: replace(one, signatures=()))


def _downgraded(data: bytes) -> bytes:
    """Put a signature of Ed25519 under the name of the SM2 key."""
    return _envelope(data, lambda one: replace(one, signatures=((SIGNER.keyid, EDWARDS.sign(one.message())),)))


def _malleable_envelope(data: bytes) -> bytes:
    """Write the same signature in a longer DER form."""

    def longer(one: Envelope) -> Envelope:
        ((keyid, der),) = one.signatures
        return replace(one, signatures=((keyid, bytes([der[0], 0x81, der[1]]) + der[2:]),))

    return _envelope(data, longer)


def _of_another_type(data: bytes) -> bytes:
    def other(one: Envelope) -> Envelope:
        made = Envelope(payload_type="application/json", payload=one.payload, signatures=())
        return replace(made, signatures=((SIGNER.keyid, SIGNER.sign(made.message())),))

    return _envelope(data, other)


def _twice(data: bytes) -> bytes:
    """Count on one key being counted twice."""
    return _envelope(_by_root(data), lambda one: replace(one, signatures=one.signatures * 2))


def _by_root(data: bytes, *signers: Signer, **carried: object) -> bytes:
    given = {"roots": (ROOT,), "revocations": NOBODY, **carried}
    return signed_again(data, *(signers or (SIGNER,)), **given)


def _by_certificate(data: bytes, *certificates: bytes) -> bytes:
    return signed_again(data, SIGNER, certificates=certificates)


def _old_layout(data: bytes) -> bytes:
    head = read_head(io.BytesIO(data))
    return pack_head(head.entries()[:3]) + data[head.end :]


def _damaged_trust(data: bytes) -> bytes:
    trust = read_head(io.BytesIO(data)).trust
    return with_head(data, trust=trust.replace(b'"roots"', b'"rootz"'))


# Two of SIGNER, SECOND and the Ed25519 key release; OFFICER and STRANGER are the root keys of one version each.
RELEASE = (SIGNER, SECOND, EDWARDS)
ROOT = root_document(1, [OFFICER], RELEASE, threshold=2)
ROTATED = root_document(2, [STRANGER], RELEASE, threshold=2, by=[OFFICER, STRANGER])
EXPIRED = root_document(1, [OFFICER], RELEASE, threshold=2, expires=datetime(2026, 3, 1, tzinfo=UTC))
NOBODY = revocation_list(1, [], [OFFICER])
CERTIFICATE = certificate("root", OFFICER, "root", OFFICER, authority=True)
SUB = certificate("sub", SECOND, "root", OFFICER, authority=True)
LEAF = certificate("leaf", SIGNER, "sub", SECOND)


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
    Defect(name="an envelope without signatures", spoil=_no_signature, exit_code=7, says="trusted key, got none"),
    Defect(name="an algorithm downgrade", spoil=_downgraded, exit_code=7, says="envelope.signatures[0].sig: expected"),
    Defect(
        name="a malleable signature in the envelope",
        spoil=_malleable_envelope,
        exit_code=7,
        says="envelope.signatures[0].sig: expected",
    ),
    Defect(
        name="an envelope of another type",
        spoil=_of_another_type,
        exit_code=7,
        says="envelope.payloadType: expected 'application/vnd.in-toto+json', got 'application/json'",
    ),
    Defect(
        name="too few signers",
        spoil=_by_root,
        trust=(ROOT,),
        exit_code=7,
        says=f"signatures by 2 of the release role's keys, got 1 ({SIGNER.keyid[:16]})",
    ),
    Defect(
        name="too few signers, one of them twice",
        spoil=_twice,
        trust=(ROOT,),
        exit_code=7,
        says=f"signatures by 2 of the release role's keys, got 1 ({SIGNER.keyid[:16]})",
    ),
    Defect(
        name="a revoked key",
        spoil=lambda data: _by_root(data, SIGNER, SECOND, revocations=revocation_list(2, [SECOND], [OFFICER])),
        trust=(ROOT,),
        exit_code=7,
        says=f"got 1 ({SIGNER.keyid[:16]}); revoked: {SECOND.keyid[:16]} (laptop stolen)",
    ),
    Defect(
        name="an older revocation list",
        spoil=lambda data: _by_root(data, SIGNER, SECOND),
        trust=(ROOT,),
        oldest_revocations=2,
        exit_code=7,
        says="expected revocations of version 2 or later, got version 1",
    ),
    Defect(
        name="revocations that the root role has not signed",
        spoil=lambda data: _by_root(data, SIGNER, SECOND, revocations=revocation_list(9, [], [STRANGER])),
        trust=(ROOT,),
        exit_code=7,
        says="revocations version 9: expected signatures by 1 of the root role's keys, got 0",
    ),
    Defect(
        name="a rotation that the old root has not signed",
        spoil=lambda data: _by_root(
            data,
            SIGNER,
            SECOND,
            roots=(ROOT, root_document(2, [STRANGER], [STRANGER])),
            revocations=revocation_list(1, [], [STRANGER]),
        ),
        trust=(ROOT,),
        exit_code=7,
        says="root version 2, by the role before it: expected signatures by 1 of the root role's keys, got 0",
    ),
    Defect(
        name="a rotation with a version left out",
        spoil=lambda data: _by_root(
            data, SIGNER, SECOND, roots=(ROOT, root_document(3, [OFFICER], RELEASE, threshold=2))
        ),
        trust=(ROOT,),
        exit_code=7,
        says="root.version: expected version 2, got 3",
    ),
    Defect(
        name="an expired root document",
        spoil=lambda data: _by_root(data, SIGNER, SECOND, roots=(EXPIRED,)),
        trust=(EXPIRED,),
        exit_code=7,
        says="root version 1: expected a root document that is not over, got one that ended at 2026-03-01T00:00:00Z",
    ),
    Defect(
        name="a broken chain of certificates",
        spoil=lambda data: _by_certificate(data, certificate("leaf", SIGNER, "sub", STRANGER), SUB),
        trust=(CERTIFICATE,),
        exit_code=7,
        says="certificate 'CN=leaf': expected a signature by 'CN=sub', got a wrong one",
    ),
    Defect(
        name="a chain of certificates under another root",
        spoil=lambda data: _by_certificate(data, LEAF, SUB),
        trust=(certificate("root", STRANGER, "root", STRANGER, authority=True),),
        exit_code=7,
        says="certificate 'CN=sub': expected a signature by 'CN=root', got a wrong one",
    ),
    Defect(
        name="a demanded scheme that nobody signed with",
        spoil=lambda data: data,
        demands=("sm2-sm3", "ed25519"),
        exit_code=7,
        says="expected ed25519 signatures by 1 of the release role's keys, got 0",
    ),
    Defect(
        name="a root document's SM2 keys outvoted in the gm profile",
        spoil=lambda data: _by_root(data, SIGNER, EDWARDS),
        trust=(ROOT,),
        exit_code=7,
        says=f"expected sm2-sm3 signatures by 2 of the release role's keys, got 1 ({SIGNER.keyid[:16]})",
    ),
    Defect(name="a damaged trust entry", spoil=_damaged_trust, exit_code=6, says="ferry.trust.json.roots: expected"),
    Defect(
        name="the layout of an older Ferry",
        spoil=_old_layout,
        exit_code=6,
        says='"ferry.trust.json", got "install.sh": an older Ferry made it, in format ferry/bundle/v1',
    ),
    Defect(name="no bundle at all", spoil=_no_bundle, exit_code=6, says="the file is not a bundle"),
)


def spoil_file(path: Path, defect: Defect, out: Path) -> Path:
    """Write a spoiled copy of a bundle."""
    out.write_bytes(defect.spoil(path.read_bytes()))
    return out
