"""What keys of every algorithm have in common: names made of the SubjectPublicKeyInfo, and secrets that do not show."""

from __future__ import annotations

import hashlib
from typing import NoReturn

from keystore import encoding, sm3

_FINGERPRINT_DIGITS = 32


class SpkiNames:
    """Give a public key its keyid, its fingerprint and its PEM, all made of its DER."""

    __slots__ = ()

    def der(self) -> bytes:
        """Return the SubjectPublicKeyInfo in DER."""
        raise NotImplementedError

    def pem(self) -> str:
        """Return the SubjectPublicKeyInfo in PEM, as `openssl pkey -pubout` writes it."""
        return encoding.encode_pem(encoding.PUBLIC_LABEL, self.der())

    @property
    def keyid(self) -> str:
        """The SHA-256 of the SPKI DER, 64 hexadecimal digits."""
        return hashlib.sha256(self.der()).hexdigest()

    def fingerprint(self) -> str:
        """Return the form for paper: the first 32 digits of the SM3 of the SPKI DER, in groups of four."""
        digits = sm3.sm3(self.der()).hex()[:_FINGERPRINT_DIGITS]
        return " ".join(digits[start : start + 4] for start in range(0, _FINGERPRINT_DIGITS, 4))


class Unshown:
    """Keep a private key out of messages and pickles; it shows the name of its public key alone."""

    __slots__ = ()

    @property
    def keyid(self) -> str:
        """The keyid of the public key."""
        raise NotImplementedError

    def __repr__(self) -> str:
        """Name the key."""
        return f"PrivateKey(keyid={self.keyid!r})"

    def __reduce__(self) -> NoReturn:
        """Refuse."""
        raise TypeError("a private key is not pickled")
