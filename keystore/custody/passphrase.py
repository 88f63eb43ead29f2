"""Custody by a passphrase: one operator unseals the store with what he knows."""

from __future__ import annotations

from dataclasses import dataclass, field

from keystore import seal

KIND = "passphrase"


@dataclass(frozen=True, kw_only=True, slots=True)
class PassphraseCustodian:
    """PBKDF2-HMAC-SM3 and SM4-GCM, or Argon2id and AES-256-GCM; a form with lower costs than are written is refused."""

    profile: str
    passphrase: str = field(repr=False)

    @property
    def kind(self) -> str:
        """The name of the means."""
        return KIND

    def seal(self, root_key: bytes, bound: bytes) -> dict[str, object]:
        """Return the sealed form.

        Raises: PassphraseError for a short passphrase.
        """
        seal.check_passphrase(self.passphrase)
        return seal.seal(root_key, self.passphrase, profile=self.profile, associated=bound)

    def unseal(self, form: object, bound: bytes, place: str) -> bytes:
        """Return the root key.

        Raises: PassphraseError, KeystoreError.
        """
        return seal.unseal(form, self.passphrase, profile=self.profile, associated=bound, place=place)
