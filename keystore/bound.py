"""A key of a file under its use policy. It guards against mistakes: who has the passphrase can do without it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from keystore.errors import UseError
from keystore.public import VerifyingKey
from keystore.signer import Signer
from keystore.subject import Document, read_document, read_message
from keystore.use import Use


class BoundSigner:
    """Sign for the products and kinds of a policy, until its time is over."""

    __slots__ = ("_clock", "_introduced", "_signer", "_use")

    def __init__(self, signer: Signer, use: Use, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._signer, self._use, self._clock = signer, use, clock
        self._introduced: dict[str, Document] = {}

    def __repr__(self) -> str:
        return f"BoundSigner(keyid={self.keyid!r})"

    @property
    def keyid(self) -> str:
        """The keyid of `public`."""
        return self._signer.keyid

    @property
    def public(self) -> VerifyingKey:
        """The key that verifies what this signs."""
        return self._signer.public

    def introduce(self, document: bytes) -> None:
        """Take a document that statements may be signed about.

        Raises: UseError where the policy does not allow it.
        """
        found = read_document(document)
        self._use.check(found, self._clock())
        self._introduced[found.sha256] = found

    def sign(self, message: bytes) -> bytes:
        """Return a signature over what the policy allows.

        Raises: UseError.
        """
        found = read_message(message)
        wanted = found.document or self._introduced.get(found.sha256)
        if wanted is None:
            raise UseError("expected a statement about a manifest that was shown before, got one about another")
        found.check_about(wanted)
        self._use.check(wanted, self._clock())
        return self._signer.sign(message)
