"""The errors of the keystore: what was expected, what came, where, and what to do next."""

from __future__ import annotations


class KeystoreError(Exception):
    """Base of every error of the keystore: whoever manages keys must act.

    `place` is the spot in a document or file (`keys/release.json.sealed.salt`), `hint` what to do next.
    """

    exit_code = 7

    def __init__(self, message: str, *, place: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.place = place
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message


class SignatureError(KeystoreError):
    """A signature, an envelope or a key is refused."""


class PassphraseError(KeystoreError):
    """A passphrase does not open what it should, or is unfit to seal anything."""


class StoreError(KeystoreError):
    """The disk cannot keep or give back a record: it is full, read-only, damaged, or was changed from outside."""


class UnsealError(KeystoreError):
    """A key or its shares do not open the seal."""


class UseError(KeystoreError):
    """The use policy of a signing key does not allow what is asked."""


class ServiceError(KeystoreError):
    """The service that holds a key cannot be reached, or refuses; `status` is its HTTP status, 0 where none came."""

    def __init__(self, message: str, *, status: int = 0, place: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, place=place, hint=hint)
        self.status = status
