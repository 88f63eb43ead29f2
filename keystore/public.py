"""What verifies: public keys of every scheme behind one interface, and how one is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from keystore import ed25519, encoding, p256, sm2
from keystore.errors import SignatureError


class VerifyingKey(Protocol):
    """Verify signatures of one scheme; the key, never what is verified, decides which."""

    @property
    def scheme(self) -> str:
        """'sm2-sm3', 'ed25519' or 'ecdsa-p256-sha256'."""
        ...

    @property
    def keyid(self) -> str:
        """The SHA-256 of the SPKI DER, 64 hexadecimal digits."""
        ...

    def fingerprint(self) -> str:
        """Return the form for paper: the first 32 digits of the SM3 of the SPKI DER, in groups of four."""
        ...

    def pem(self) -> str:
        """Return the SubjectPublicKeyInfo in PEM."""
        ...

    def der(self) -> bytes:
        """Return the SubjectPublicKeyInfo in DER."""
        ...

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature over a message; return only when it is right.

        Raises: SignatureError.
        """
        ...


SCHEMES = (sm2.SCHEME, ed25519.SCHEME, p256.SCHEME)
_READERS: Mapping[bytes, Callable[[bytes], VerifyingKey]] = {
    encoding.SM2.algorithm(): sm2.PublicKey.from_der,
    encoding.ED25519_ALGORITHM: ed25519.PublicKey.from_der,
    encoding.P256.algorithm(): p256.PublicKey.from_der,
}


def read_public(pem: str | bytes) -> VerifyingKey:
    """Parse SPKI PEM, one block and nothing else, of an SM2, Ed25519 or ECDSA P-256 key.

    Raises: SignatureError for every other algorithm, curve or encoding.
    """
    data = encoding.decode_pem(pem, encoding.PUBLIC_LABEL)
    reader = _READERS.get(encoding.public_algorithm(data))
    if reader is None:
        raise SignatureError(
            "expected an SM2, Ed25519 or ECDSA P-256 key, got another algorithm, curve or explicit parameters",
            place="public key",
            hint="make a key: ferry keystore generate NAME --algorithm sm2",
        )
    return reader(data)
