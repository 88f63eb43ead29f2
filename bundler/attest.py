"""The signatures of a bundle: detached SM2-with-SM3 over the manifest, and a DSSE envelope beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from bundler.errors import TrustError
from keystore import sm3
from keystore.envelope import open_envelope, sign_envelope
from keystore.errors import KeystoreError
from keystore.signer import Signer
from keystore.sm2 import PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
_STATEMENT = "https://in-toto.io/Statement/v1"
_PREDICATE = "urn:ferry:bundle:v1"


def check_signer(signer: Signer) -> None:
    """Refuse a key of which no bundle is believed.

    Raises:
        TrustError: it is not an SM2 key.
    """
    if not isinstance(signer.public, PublicKey):
        raise TrustError(
            f'expected an SM2 key to sign a bundle, got one of the scheme "{signer.public.scheme}"',
            place=signer.keyid,
            hint="make one: ferry keystore generate NAME",
        )


def sign(manifest: bytes, signer: Signer) -> tuple[bytes, bytes]:
    """Return the detached signature (DER) and the envelope of the exact bytes of a manifest."""
    return signer.sign(manifest), sign_envelope(PAYLOAD_TYPE, _statement(manifest), [signer])


def _statement(manifest: bytes) -> bytes:
    """Return the in-toto Statement whose subject is the manifest."""
    digest = {"sha256": hashlib.sha256(manifest).hexdigest(), "sm3": sm3.sm3(manifest).hex()}
    document = {
        "_type": _STATEMENT,
        "subject": [{"name": "ferry.json", "digest": digest}],
        "predicateType": _PREDICATE,
        "predicate": {"signature": "ferry.json.sig"},
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def check(manifest: bytes, signature: bytes, envelope: bytes, trusted: Sequence[PublicKey]) -> PublicKey:
    """Check both signatures of a manifest; return the trusted key that made them.

    The algorithm is that of the verifier's own key, never one that the bundle names.

    Raises:
        TrustError: no trusted key made them.
    """
    reasons = []
    for key in trusted:
        try:
            key.verify(signature, manifest)
        except KeystoreError as error:
            reasons.append(f"{key.keyid[:16]}: {error}")
            continue
        _check_envelope(manifest, envelope, key)
        return key
    raise TrustError(
        "expected a signature by a trusted key, got none that verifies" + _listed(reasons),
        place="ferry.json.sig",
        hint="check that the key given by --trust is the builder's (compare fingerprints), and carry the bundle again",
    )


def _listed(reasons: list[str]) -> str:
    return f" ({'; '.join(reasons)})" if reasons else ""


def _check_envelope(manifest: bytes, envelope: bytes, key: PublicKey) -> None:
    try:
        payload = open_envelope(envelope, [key], 1, payload_type=PAYLOAD_TYPE)
    except KeystoreError as error:
        raise TrustError(f"the envelope is refused: {error}", place="ferry.json.dsse") from error
    if payload != _statement(manifest):
        raise TrustError("the envelope is of another manifest", place="ferry.json.dsse")
