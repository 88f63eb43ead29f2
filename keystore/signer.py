"""What signs: the interface that a file, an HSM, a UKey or a faster engine fulfils."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

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


@runtime_checkable
class Wary(Protocol):
    """A signer whose key has a use policy: it must see a document before it signs a statement about it."""

    def introduce(self, document: bytes) -> None:
        """Take a document to be signed for.

        Raises: KeystoreError where the key may not sign for it at all.
        """
        ...


def introduce(signers: Iterable[Signer], document: bytes) -> None:
    """Show a document to those signers that must see it before they sign a statement about it.

    Raises: KeystoreError.
    """
    for signer in signers:
        if isinstance(signer, Wary):
            signer.introduce(document)
