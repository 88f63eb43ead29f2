"""ECDSA P-256 keys: public keys that verify, private keys that sign; the same message gives the same bytes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from keystore import ecdsa, encoding, scheme, selftest
from keystore.curve import Point
from keystore.errors import SignatureError
from keystore.spki import SpkiNames, Unshown

SCHEME = "ecdsa-p256-sha256"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicKey(SpkiNames):
    """A point on the curve P-256 that verifies signatures with SHA-256."""

    x: int
    y: int

    def __post_init__(self) -> None:
        if not ecdsa.is_on_curve(self.point):
            raise SignatureError("expected a point on the curve P-256, got one that is not", place="public key")

    @classmethod
    def from_pem(cls, text: str | bytes) -> PublicKey:
        """Parse SPKI PEM, one block and nothing else.

        Raises: SignatureError.
        """
        return cls.from_der(encoding.decode_pem(text, encoding.PUBLIC_LABEL))

    @classmethod
    def from_der(cls, data: bytes) -> PublicKey:
        """Parse SPKI DER: named curve, uncompressed point on the curve.

        Raises: SignatureError.
        """
        x, y = encoding.decode_public(data, named=encoding.P256)
        return cls(x=x, y=y)

    @property
    def scheme(self) -> str:
        """The signatures that this verifies."""
        return SCHEME

    @property
    def point(self) -> Point:
        """The coordinates."""
        return self.x, self.y

    def der(self) -> bytes:
        """Return the SubjectPublicKeyInfo in DER."""
        return encoding.encode_public(self.point, encoding.P256)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a DER signature over a message; return only when it is right.

        Raises: SignatureError.
        """
        selftest.ensure_p256()
        ecdsa.verify(self.point, signature, message)


class PrivateKey(Unshown):
    """A private scalar that signs; it shows itself nowhere but in `pem` and `octets`."""

    __slots__ = ("_public", "_scalar")

    def __init__(self, scalar: int) -> None:
        if not 1 <= scalar < ecdsa.N:
            raise SignatureError("expected a scalar in 1..n-1, got a number outside", place="private key")
        x, y = ecdsa.point_of(scalar)
        self._scalar = scalar
        self._public = PublicKey(x=x, y=y)

    @classmethod
    def generate(cls) -> PrivateKey:
        """Make a key from the system's random numbers."""
        selftest.ensure_p256_signing()
        return cls(secrets.randbelow(ecdsa.N - 1) + 1)

    @classmethod
    def from_pem(cls, text: str | bytes) -> PrivateKey:
        """Parse unencrypted PKCS#8 PEM; a public key inside must be the scalar's.

        Raises: SignatureError.
        """
        data = encoding.decode_pem(text, encoding.PRIVATE_LABEL)
        scalar, point = encoding.decode_private(data, named=encoding.P256)
        key = cls(scalar)
        if point is not None and point != key.public.point:
            raise SignatureError("expected the public key of the scalar, got another", place="private key")
        return key

    @property
    def public(self) -> PublicKey:
        """The key that verifies."""
        return self._public

    @property
    def keyid(self) -> str:
        """The keyid of `public`."""
        return self._public.keyid

    def pem(self) -> str:
        """Return unencrypted PKCS#8 PEM: the secret itself."""
        data = encoding.encode_private(self._scalar, self._public.point, encoding.P256)
        return encoding.encode_pem(encoding.PRIVATE_LABEL, data)

    def octets(self) -> bytes:
        """Return the scalar as 32 bytes: the secret itself."""
        return scheme.octets(self._scalar)

    def sign(self, message: bytes) -> bytes:
        """Return a DER signature over a message, verified before it is released.

        Raises: KeystoreError where the cryptography library has no nonces by RFC 6979.
        """
        selftest.ensure_p256_signing()
        signature = ecdsa.sign(self._scalar, message)
        self._public.verify(signature, message)
        return signature
