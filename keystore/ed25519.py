"""Ed25519 keys: public keys that verify, private keys that sign; the same message gives the same bytes."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from keystore import eddsa, encoding, selftest
from keystore.errors import SignatureError
from keystore.spki import SpkiNames, Unshown

SCHEME = "ed25519"


@dataclass(frozen=True, kw_only=True, slots=True)
class PublicKey(SpkiNames):
    """A point on the Ed25519 curve, in its 32 bytes, that verifies signatures."""

    raw: bytes

    def __post_init__(self) -> None:
        if not eddsa.is_sound(self.raw):
            raise SignatureError(
                "expected a point on the Ed25519 curve of large order, got one that is not", place="public key"
            )

    @classmethod
    def from_pem(cls, text: str | bytes) -> PublicKey:
        """Parse SPKI PEM, one block and nothing else.

        Raises: SignatureError.
        """
        return cls.from_der(encoding.decode_pem(text, encoding.PUBLIC_LABEL))

    @classmethod
    def from_der(cls, data: bytes) -> PublicKey:
        """Parse SPKI DER.

        Raises: SignatureError.
        """
        return cls(raw=encoding.decode_ed25519_public(data))

    @property
    def scheme(self) -> str:
        """The signatures that this verifies."""
        return SCHEME

    def der(self) -> bytes:
        """Return the SubjectPublicKeyInfo in DER."""
        return encoding.encode_ed25519_public(self.raw)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check the 64 bytes of a signature over a message; return only when it is right.

        Raises: SignatureError.
        """
        selftest.ensure_ed25519()
        eddsa.verify(self.raw, signature, message)


class PrivateKey(Unshown):
    """A private seed that signs; it shows itself nowhere but in `pem` and `octets`."""

    __slots__ = ("_public", "_seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != eddsa.SIZE:
            raise SignatureError(f"expected a seed of {eddsa.SIZE} bytes, got {len(seed)}", place="private key")
        self._seed = seed
        self._public = PublicKey(raw=eddsa.public_of(seed))

    @classmethod
    def generate(cls) -> PrivateKey:
        """Make a key from the system's random numbers."""
        selftest.ensure_ed25519()
        return cls(secrets.token_bytes(eddsa.SIZE))

    @classmethod
    def from_pem(cls, text: str | bytes) -> PrivateKey:
        """Parse unencrypted PKCS#8 PEM.

        Raises: SignatureError.
        """
        return cls(encoding.decode_ed25519_private(encoding.decode_pem(text, encoding.PRIVATE_LABEL)))

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
        return encoding.encode_pem(encoding.PRIVATE_LABEL, encoding.encode_ed25519_private(self._seed))

    def octets(self) -> bytes:
        """Return the seed, 32 bytes: the secret itself."""
        return self._seed

    def sign(self, message: bytes) -> bytes:
        """Return the 64 bytes of a signature over a message, verified before it is released."""
        selftest.ensure_ed25519()
        signature = eddsa.sign(self._seed, message)
        self._public.verify(signature, message)
        return signature
