"""The interface that every keeper of a root key fulfils: a passphrase, a key file, an HSM, and adapters to come."""

from __future__ import annotations

from typing import Protocol


class Custodian(Protocol):
    """Seal a store's root key so that only this custodian can give it back.

    An adapter for a UKey (SKF, GM/T 0016) or a cryptographic machine (SDF, GM/T 0018) is a class with these three,
    and a line in `keystore.custody.kinds.KINDS`. In `seal` it lets the device encrypt the 32 bytes under a key that
    never leaves it (SKF_Encrypt or SDF_Encrypt with SM4; or SKF_ExtECCEncrypt, SDF_ExternalEncrypt_ECC), and keeps in
    the form what it needs to find that key again: the names of device, application and container, never a PIN. A
    device without an authenticated mode encrypts a fresh key, and seals the root key under that with
    `keystore.barrier.cipher.Suite.seal`, as `keystore.custody.keyfile` does.
    """

    @property
    def kind(self) -> str:
        """The name of the means, as it stands in the custody's document."""
        ...

    def seal(self, root_key: bytes, bound: bytes) -> dict[str, object]:
        """Return the sealed form, a JSON object in which nothing is secret; `bound` must be given again.

        Raises: KeystoreError.
        """
        ...

    def unseal(self, form: object, bound: bytes, place: str) -> bytes:
        """Return the root key of a sealed form, which comes from the disk and may be anything.

        Raises: KeystoreError for another form; UnsealError or PassphraseError where the means is another, the form
            was altered, or `bound` differs.
        """
        ...
