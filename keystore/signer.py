"""What signs: the interface that a file, an HSM, a UKey or a faster engine fulfils."""

from __future__ import annotations

from typing import Protocol

from keystore.sm2 import PublicKey


class Signer(Protocol):
    """Sign with one SM2 key under the default id, wherever the key lives."""

    @property
    def keyid(self) -> str:
        """The keyid of `public`."""
        ...

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this signs."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return a DER signature over the message.

        Raises: KeystoreError.
        """
        ...
