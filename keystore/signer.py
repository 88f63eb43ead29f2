"""What signs: the interface that a file, an HSM, a UKey or a faster engine fulfils."""

from __future__ import annotations

from typing import Protocol

from keystore.public import VerifyingKey


class Signer(Protocol):
    """Sign with one key of any scheme, wherever it lives; SM2 signs under the default id."""

    @property
    def keyid(self) -> str:
        """The keyid of `public`."""
        ...

    @property
    def public(self) -> VerifyingKey:
        """The key that verifies what this signs."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return a signature over the message, in the form that `public` verifies.

        Raises: KeystoreError.
        """
        ...
