"""Ways to spoil the head of a bundle: its signatures, and what a trusted key signed that it should not have."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from bundles import SIGNER, Key
from spoiltar import SIZE_FIELD, Spoil, flip, summed

from bundler.archive import BLOCK, head_places, header, pack_head, padding, read_head
from bundler.model.provenance import PAYLOAD_TYPE, PROVENANCE, STATEMENT
from keystore import ecdsa, ed25519
from keystore.document import canonical
from keystore.envelope import sign_envelope
from keystore.sm2 import PrivateKey
from keystore.sm3 import sm3

SIGNATURE, ENVELOPE = "ferry.json.sig", "ferry.json.dsse"
# The key of bundles.SIGNER, for signatures that it would never make.
_SCALAR = 0x1F2E3D4C5B6A798897A6B5C4D3E2F1
_KEY = PrivateKey(_SCALAR)


def parts(data: bytes) -> dict[str, bytes]:
    """Return the entries of the head."""
    return {name: data[at : at + size] for name, at, size in head_places(io.BytesIO(data))}


def with_parts(data: bytes, **changed: bytes) -> bytes:
    """Return the same file with other entries in its head; dots in names are written as `__`."""
    found = parts(data) | {name.replace("__", "."): value for name, value in changed.items()}
    return pack_head(found.items()) + data[read_head(io.BytesIO(data)).end :]


def signature(change: Callable[[bytes, bytes], bytes]) -> Spoil:
    """Make another signature out of the one that is there and the manifest."""
    return lambda data: with_parts(
        data, ferry__json__sig=change(parts(data)[SIGNATURE], read_head(io.BytesIO(data)).manifest)
    )


def envelope(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Change the envelope as JSON."""

    def spoil(data: bytes) -> bytes:
        document = json.loads(parts(data)[ENVELOPE])
        changed = change(document)
        text = changed if isinstance(changed, bytes) else json.dumps(changed or document).encode()
        return with_parts(data, ferry__json__dsse=text)

    return spoil


def resigned(document: bytes, data: bytes, signer: Key = SIGNER) -> bytes:
    """Put another manifest, signed, before the same entries; it may be no manifest at all."""
    signature = signer.sign(document)
    subject = [
        {"name": name, "digest": _digests(one)} for name, one in (("ferry.json", document), (SIGNATURE, signature))
    ]
    statement = canonical({"_type": STATEMENT, "subject": subject, "predicateType": PROVENANCE, "predicate": {}})
    signed = sign_envelope(PAYLOAD_TYPE, statement, [signer])
    return with_parts(data, ferry__json=document, ferry__json__sig=signature, ferry__json__dsse=signed)


def _digests(data: bytes) -> dict[str, str]:
    return {"sha256": sha256(data).hexdigest(), "sm3": sm3(data).hex()}


def manifest(change: Callable[[bytes], bytes]) -> Spoil:
    """Change the manifest, and let the trusted key sign that."""
    return lambda data: resigned(change(parts(data)["ferry.json"]), data)


def document(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Change the manifest as JSON, and let the trusted key sign that."""

    def text(data: bytes) -> bytes:
        found = json.loads(data)
        change(found)
        return json.dumps(found).encode()

    return manifest(text)


def _der(*numbers: bytes) -> bytes:
    body = b"".join(bytes([2, len(number)]) + number for number in numbers)
    return bytes([0x30, len(body)]) + body


def _numbers(der: bytes) -> tuple[bytes, bytes]:
    end = 4 + der[3]
    return der[4:end], der[end + 2 :]


def zeros_before_r(der: bytes) -> bytes:
    """Write the first number with a zero more."""
    r, s = _numbers(der)
    return _der(b"\0" + r, s)


def r_and_s_exchanged(der: bytes) -> bytes:
    """Write the numbers in the other order."""
    r, s = _numbers(der)
    return _der(s, r)


def no_length(der: bytes) -> bytes:
    """Write the same sequence in the form without a length, which BER allows."""
    return b"\x30\x80" + der[2:] + b"\0\0"


def over_sha256(document: bytes) -> bytes:
    """Sign a SHA-256 where SM3 is due."""
    return _KEY.sign_digest(sha256(document).digest(), hedge=bytes(32))


def without_identity(document: bytes) -> bytes:
    """Sign a bare SM3, without the digest of identity and key in front."""
    return _KEY.sign_digest(sm3(document), hedge=bytes(32))


def as_another(document: bytes) -> bytes:
    """Sign under another identity."""
    return _KEY.sign(document, hedge=bytes(32), ident=b"alice@example.com")


def by_ecdsa(document: bytes) -> bytes:
    """Sign with ECDSA, which is another algorithm than that of the trusted key."""
    return ecdsa.sign(_SCALAR, document)


def by_ed25519(document: bytes) -> bytes:
    """Sign with Ed25519."""
    return ed25519.PrivateKey(bytes(range(32))).sign(document)


def head_header(change: Callable[[bytes], bytes]) -> Spoil:
    """Change the header of the manifest."""
    return lambda data: change(data[:BLOCK]) + data[BLOCK:]


def head_size(value: bytes) -> Spoil:
    """Write another size of the manifest."""
    return head_header(lambda block: summed(block[: SIZE_FIELD.start] + value.ljust(12, b"\0") + block[136:]))


def head_flip(name: str, inside: int) -> Spoil:
    """Flip a bit of an entry of the head, or of its header (negative)."""

    def spoil(data: bytes) -> bytes:
        at = next(at for one, at, _ in head_places(io.BytesIO(data)) if one == name)
        return flip(data, at + inside)

    return spoil


def head_padding(data: bytes) -> bytes:
    """Flip a bit in the padding behind the manifest."""
    name, at, size = next(one for one in head_places(io.BytesIO(data)) if padding(one[2]))
    assert name
    return flip(data, at + size)


def link_first(data: bytes) -> bytes:
    """Make a link of the manifest."""
    info = tarfile.TarInfo("ferry.json")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/shadow"
    return info.tobuf(tarfile.GNU_FORMAT) + data[BLOCK:]


def before_all(kind: bytes, body: bytes, name: str = "") -> Spoil:
    """Put a member before the manifest."""

    def spoil(data: bytes) -> bytes:
        info = tarfile.TarInfo(name or "././@PaxHeader")
        info.type, info.size = kind, len(body)
        return info.tobuf(tarfile.GNU_FORMAT) + body.ljust(BLOCK, b"\0") + data

    return spoil


def signature_first(data: bytes) -> bytes:
    """Put the signature before the manifest."""
    found = list(parts(data).items())
    return pack_head([found[1], found[0], *found[2:]]) + data[read_head(io.BytesIO(data)).end :]


def large_signature(data: bytes) -> bytes:
    """Say that the signature has more bytes than it may have."""
    at = next(at for name, at, _ in head_places(io.BytesIO(data)) if name == SIGNATURE)
    return data[: at - BLOCK] + header(SIGNATURE, 1025) + data[at:]
