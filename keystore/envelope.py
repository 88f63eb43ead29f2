"""DSSE v1 envelopes with SM2 signatures over the pre-authentication encoding (PAE).

Source: DSSE v1.0.2, envelope.md and protocol.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from keystore import document
from keystore.errors import KeystoreError, SignatureError
from keystore.signer import Signer
from keystore.sm2 import PublicKey

_ENVELOPE = {"payload": str, "payloadType": str, "signatures": list}
_SIGNATURE = {"keyid": str, "sig": str}


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the bytes that are signed: lengths, type and payload without ambiguity."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload_type: str, payload: bytes, signers: Sequence[Signer]) -> bytes:
    """Return an envelope in canonical JSON, its signatures ordered by keyid.

    Raises: KeystoreError for no signer, or one key twice.
    """
    ordered = sorted(signers, key=lambda signer: signer.keyid)
    keyids = [signer.keyid for signer in ordered]
    if not keyids or len(set(keyids)) != len(keyids):
        raise KeystoreError(f"expected one or more signers with different keys, got {len(keyids)}")
    message = pae(payload_type, payload)
    return document.canonical(
        {
            "payload": document.encode_base64(payload),
            "payloadType": payload_type,
            "signatures": [
                {"keyid": signer.keyid, "sig": document.encode_base64(signer.sign(message))} for signer in ordered
            ],
        }
    )


def open_envelope(data: bytes, keys: Iterable[PublicKey], threshold: int, *, payload_type: str) -> bytes:
    """Return the payload once `threshold` different keys out of `keys` have signed it as this type.

    A signature with an unknown keyid is passed over; one that claims a known key must be right.
    Raises: SignatureError.
    """
    try:
        return _open(data, {key.keyid: key for key in keys}, threshold, payload_type)
    except SignatureError:
        raise
    except KeystoreError as error:
        raise SignatureError(error.message, place=error.place, hint=error.hint) from error


def _open(data: bytes, trusted: dict[str, PublicKey], threshold: int, payload_type: str) -> bytes:
    if threshold < 1:
        raise SignatureError(f"expected a threshold of 1 or more, got {threshold}")
    envelope = document.fields(document.parse(data, "envelope"), "envelope", _ENVELOPE, exact=False)
    document.expect(envelope["payloadType"], payload_type, "envelope.payloadType")
    payload = document.decode_base64(envelope["payload"], "envelope.payload")
    signed = _signed_by(envelope["signatures"], trusted, pae(payload_type, payload))
    if len(signed) < threshold:
        raise SignatureError(
            f"expected signatures by {threshold} trusted keys, got {len(signed)}",
            place="envelope.signatures",
            hint="compare the fingerprints of the signers with the keys that you trust",
        )
    return payload


def _signed_by(signatures: list[Any], trusted: dict[str, PublicKey], message: bytes) -> set[str]:
    signed: set[str] = set()
    for index, value in enumerate(signatures):
        place = f"envelope.signatures[{index}]"
        entry = document.fields(value, place, _SIGNATURE, exact=False)
        key = trusted.get(entry["keyid"])
        if key is None or entry["keyid"] in signed:
            continue
        try:
            key.verify(document.decode_base64(entry["sig"], f"{place}.sig"), message)
        except SignatureError as error:
            raise SignatureError(error.message, place=f"{place}.sig", hint=error.hint) from error
        signed.add(entry["keyid"])
    return signed
