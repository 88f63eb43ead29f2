"""SM2 keys: public keys that verify, private keys that sign with hedged nonces."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from keystore import curve, encoding, scheme, selftest, sm3
from keystore.curve import Point
from keystore.errors import SignatureError
from keystore.scheme import DEFAULT_ID
from keystore.spki import SpkiNames, Unshown

SCHEME = "sm2-sm3"
HEDGE_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicKey(SpkiNames):
    """A point on the SM2 curve that verifies signatures."""

    x: int
    y: int

    def __post_init__(self) -> None:
        if not curve.is_on_curve((self.x, self.y)):
            raise SignatureError("expected a point on the SM2 curve, got one that is not", place="public key")

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
        x, y = encoding.decode_public(data)
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
        return encoding.encode_public(self.point)

    def hasher(self, *, ident: bytes = DEFAULT_ID) -> sm3.Sm3:
        """Return an SM3 state that holds ZA; fed a message of any size, its digest is e."""
        return scheme.hasher(self.point, ident)

    def verify(self, signature: bytes, message: bytes, *, ident: bytes = DEFAULT_ID) -> None:
        """Check a DER signature over a message; return only when it is right.

        Raises: SignatureError.
        """
        state = self.hasher(ident=ident)
        state.update(message)
        self.verify_digest(signature, state.digest())

    def verify_digest(self, signature: bytes, e: bytes) -> None:
        """Check a DER signature over e = SM3(ZA || M), which `hasher` computes.

        Raises: SignatureError.
        """
        selftest.ensure()
        scheme.verify(self.point, _digest_number(e), *scheme.decode_signature(signature))


class PrivateKey(Unshown):
    """A private scalar that signs; it shows itself nowhere but in `pem`."""

    __slots__ = ("_public", "_scalar")

    def __init__(self, scalar: int) -> None:
        if not 1 <= scalar <= curve.N - 2:
            raise SignatureError("expected a scalar in 1..n-2, got a number outside", place="private key")
        x, y = curve.multiply(scalar)
        self._scalar = scalar
        self._public = PublicKey(x=x, y=y)

    @classmethod
    def generate(cls) -> PrivateKey:
        """Make a key from the system's random numbers."""
        selftest.ensure()
        return cls(secrets.randbelow(curve.N - 2) + 1)

    @classmethod
    def from_pem(cls, text: str | bytes) -> PrivateKey:
        """Parse unencrypted PKCS#8 PEM; a public key inside must be the scalar's.

        Raises: SignatureError.
        """
        scalar, point = encoding.decode_private(encoding.decode_pem(text, encoding.PRIVATE_LABEL))
        key = cls(scalar)
        if point is not None and point != key.public.point:
            raise SignatureError("expected the public key of the scalar, got another", place="private key")
        return key

    @classmethod
    def restore(cls, scalar: int, public: PublicKey) -> PrivateKey:
        """Return the key of a scalar whose public key is known, without computing it again.

        Another's public key makes a key that signs nothing: each signature is verified before it is released.
        """
        if not 1 <= scalar <= curve.N - 2:
            raise SignatureError("expected a scalar in 1..n-2, got a number outside", place="private key")
        made = cls.__new__(cls)
        made._scalar, made._public = scalar, public
        return made

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
        return encoding.encode_pem(encoding.PRIVATE_LABEL, encoding.encode_private(self._scalar, self._public.point))

    def octets(self) -> bytes:
        """Return the scalar as 32 bytes: the secret itself."""
        return scheme.octets(self._scalar)

    def sign(self, message: bytes, hedge: bytes | None = None, *, ident: bytes = DEFAULT_ID) -> bytes:
        """Return a DER signature over a message; `hedge` is 32 fresh random bytes unless given."""
        state = self._public.hasher(ident=ident)
        state.update(message)
        return self.sign_digest(state.digest(), hedge)

    def sign_digest(self, e: bytes, hedge: bytes | None = None) -> bytes:
        """Return a DER signature over e = SM3(ZA || M), verified before it is released.

        The nonce follows RFC 6979 from the scalar, e and `hedge`.
        """
        selftest.ensure()
        number = _digest_number(e)
        extra = secrets.token_bytes(HEDGE_BYTES) if hedge is None else hedge
        r, s = scheme.sign(self._scalar, number, scheme.nonces(self._scalar, number, extra))
        signature = scheme.encode_signature(r, s)
        self._public.verify_digest(signature, e)
        return signature


def _digest_number(e: bytes) -> int:
    if len(e) != sm3.DIGEST_BYTES:
        raise SignatureError(f"expected a digest of 32 bytes, got {len(e)}", place="message")
    return int.from_bytes(e, "big")
