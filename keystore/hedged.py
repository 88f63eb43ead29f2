"""Sign with an unsealed SM2 key whose nonces are hedged with a secret of its record."""

from __future__ import annotations

from keystore import sm3
from keystore.sm2 import PrivateKey, PublicKey


class FileSigner:
    """Sign with an unsealed key; the same message gives the same bytes."""

    __slots__ = ("_hedge_secret", "_key")

    def __init__(self, key: PrivateKey, hedge_secret: bytes) -> None:
        self._key = key
        self._hedge_secret = hedge_secret

    def __repr__(self) -> str:
        return f"FileSigner(keyid={self.keyid!r})"

    @property
    def keyid(self) -> str:
        """The keyid of `public`."""
        return self.public.keyid

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this signs."""
        return self._key.public

    def sign(self, message: bytes) -> bytes:
        """Return a DER signature whose nonce is hedged with HMAC-SM3(hedge secret, e)."""
        state = self.public.hasher()
        state.update(message)
        e = state.digest()
        return self._key.sign_digest(e, sm3.hmac_sm3(self._hedge_secret, e))

    def sign_fresh(self, message: bytes) -> bytes:
        """Return a DER signature whose nonce is hedged with fresh random bytes: other bytes every time."""
        return self._key.sign(message)
