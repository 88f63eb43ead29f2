"""DSSE v1 envelopes: signatures of any scheme over the pre-authentication encoding (PAE).

Source: DSSE v1.0.2, envelope.md and protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from keystore import document
from keystore.errors import KeystoreError, SignatureError
from keystore.public import VerifyingKey
from keystore.signer import Signer

_ENVELOPE = {"payload": str, "payloadType": str, "signatures": list}
_SIGNATURE = {"keyid": str, "sig": str}


@dataclass(frozen=True, kw_only=True, slots=True)
class Envelope:
    """What an envelope holds; nothing in it is verified."""

    payload_type: str
    payload: bytes
    signatures: tuple[tuple[str, bytes], ...]
    """Keyid and signature, in the envelope's order."""

    def message(self) -> bytes:
        """Return the bytes that are signed."""
        return pae(self.payload_type, self.payload)

    def encode(self) -> bytes:
        """Return the envelope in canonical JSON, its signatures ordered by keyid."""
        return document.canonical(
            {
                "payload": document.encode_base64(self.payload),
                "payloadType": self.payload_type,
                "signatures": [
                    {"keyid": keyid, "sig": document.encode_base64(signature)}
                    for keyid, signature in sorted(self.signatures)
                ],
            }
        )


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: lengths, type and payload without ambiguity."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload_type: str, payload: bytes, signers: Sequence[Signer]) -> bytes:
    """Return an envelope in canonical JSON, its signatures ordered by keyid.

    Raises: KeystoreError for no signer, or one key twice.
    """
    keyids = [signer.keyid for signer in signers]
    if not keyids or len(set(keyids)) != len(keyids):
        raise KeystoreError(f"expected one or more signers with different keys, got {len(keyids)}")
    message = pae(payload_type, payload)
    signatures = tuple((signer.keyid, signer.sign(message)) for signer in signers)
    return Envelope(payload_type=payload_type, payload=payload, signatures=signatures).encode()


def unsigned_envelope(payload_type: str, payload: bytes) -> bytes:
    """Return an envelope without signatures, which `add_signature` gives one after the other."""
    return Envelope(payload_type=payload_type, payload=payload, signatures=()).encode()


def add_signature(envelope: bytes, signer: Signer) -> bytes:
    """Return the envelope with one signature more, ordered by keyid; those inside are kept unchecked.

    Raises: SignatureError for what is no envelope, or has a signature of this key.
    """
    found = parse_envelope(envelope)
    if signer.keyid in (keyid for keyid, _ in found.signatures):
        raise SignatureError(
            f"expected no signature by the key {signer.keyid}, got one",
            place="envelope.signatures",
            hint="this key has signed already: sign with another one",
        )
    signatures = (*found.signatures, (signer.keyid, signer.sign(found.message())))
    return Envelope(payload_type=found.payload_type, payload=found.payload, signatures=signatures).encode()


def parse_envelope(data: bytes, *, payload_type: str | None = None) -> Envelope:
    """Return what an envelope holds, of this type where one is given; no signature is checked.

    Raises: SignatureError.
    """
    try:
        return _parse(data, payload_type)
    except SignatureError:
        raise
    except KeystoreError as error:
        raise SignatureError(error.message, place=error.place, hint=error.hint) from error


def signed_by(
    data: bytes, keys: Iterable[VerifyingKey], *, payload_type: str
) -> tuple[bytes, tuple[VerifyingKey, ...]]:
    """Return the payload and those of `keys` that have signed it as this type, ordered by keyid, each once.

    A signature with an unknown keyid is passed over; one that claims a known key must be right.
    Raises: SignatureError.
    """
    envelope = parse_envelope(data, payload_type=payload_type)
    signed = _signers(envelope, {key.keyid: key for key in keys})
    return envelope.payload, tuple(signed[keyid] for keyid in sorted(signed))


def open_envelope(data: bytes, keys: Iterable[VerifyingKey], threshold: int, *, payload_type: str) -> bytes:
    """Return the payload once `threshold` different keys out of `keys` have signed it as this type.

    A signature with an unknown keyid is passed over; one that claims a known key must be right.
    Raises: SignatureError.
    """
    if threshold < 1:
        raise SignatureError(f"expected a threshold of 1 or more, got {threshold}")
    payload, signed = signed_by(data, keys, payload_type=payload_type)
    if len(signed) < threshold:
        raise SignatureError(
            f"expected signatures by {threshold} trusted keys, got {len(signed)}",
            place="envelope.signatures",
            hint="compare the fingerprints of the signers with the keys that you trust",
        )
    return payload


def _parse(data: bytes, payload_type: str | None) -> Envelope:
    found = document.fields(document.parse(data, "envelope"), "envelope", _ENVELOPE, exact=False)
    if payload_type is not None:
        document.expect(found["payloadType"], payload_type, "envelope.payloadType")
    if any("\ud800" <= letter <= "\udfff" for letter in found["payloadType"]):
        raise SignatureError("expected a type in Unicode, got half a character", place="envelope.payloadType")
    payload = document.decode_base64(found["payload"], "envelope.payload")
    signatures = tuple(_parse_signature(value, index) for index, value in enumerate(found["signatures"]))
    return Envelope(payload_type=found["payloadType"], payload=payload, signatures=signatures)


def _parse_signature(value: object, index: int) -> tuple[str, bytes]:
    place = f"envelope.signatures[{index}]"
    entry = document.fields(value, place, _SIGNATURE, exact=False)
    return entry["keyid"], document.decode_base64(entry["sig"], f"{place}.sig")


def _signers(envelope: Envelope, trusted: Mapping[str, VerifyingKey]) -> dict[str, VerifyingKey]:
    message = envelope.message()
    signed: dict[str, VerifyingKey] = {}
    for index, (keyid, signature) in enumerate(envelope.signatures):
        key = trusted.get(keyid)
        if key is None or keyid in signed:
            continue
        try:
            key.verify(signature, message)
        except SignatureError as error:
            raise SignatureError(error.message, place=f"envelope.signatures[{index}].sig", hint=error.hint) from error
        signed[keyid] = key
    return signed
