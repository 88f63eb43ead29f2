"""A keystore in a directory: `keystore.json`, and one sealed record per key under `keys/`."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from keystore import disk, record, seal, sm3
from keystore.errors import KeystoreError
from keystore.record import KeyRecord, StoreRecord
from keystore.sm2 import HEDGE_BYTES, PrivateKey, PublicKey

STORE_FILE = "keystore.json"
KEYS_DIRECTORY = "keys"


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


class FileKeystore:
    """Signing keys in a directory of mode 0700, every private part sealed under one passphrase."""

    def __init__(self, path: Path, store: StoreRecord) -> None:
        self.path = path
        self._store = store

    @classmethod
    def create(
        cls, path: Path, passphrase: str, profile: str = "gm", *, created: datetime | None = None
    ) -> FileKeystore:
        """Make an empty keystore in a new directory, or in one that holds no keystore.

        Raises: KeystoreError when one exists; PassphraseError for a short passphrase.
        """
        seal.profile_of(profile, "profile")
        seal.check_passphrase(passphrase)
        disk.make_directory(path)
        with disk.locked(path):
            if exists(path):
                raise KeystoreError(
                    "expected no keystore, got one",
                    place=str(path),
                    hint="open it, or name another directory",
                )
            disk.make_directory(path / KEYS_DIRECTORY)
            store = StoreRecord.make(passphrase, profile, created or datetime.now(UTC))
            disk.write(path / STORE_FILE, store.encode())
        return cls(path, store)

    @classmethod
    def open(cls, path: Path) -> FileKeystore:
        """Open a keystore without its passphrase.

        Raises: KeystoreError when there is none, or its file is not one of this version.
        """
        if not exists(path):
            raise KeystoreError("expected a keystore, got none", place=str(path), hint="make one: ferry keystore init")
        disk.check_private(path)
        store = StoreRecord.parse(disk.read(path / STORE_FILE), STORE_FILE)
        return cls(path, store)

    @property
    def profile(self) -> str:
        """The name of the profile that seals the keys."""
        return self._store.profile

    def names(self) -> tuple[str, ...]:
        """Return the names of the keys, sorted."""
        return tuple(sorted(path.stem for path in (self.path / KEYS_DIRECTORY).glob("[a-z0-9]*.json")))

    def public(self, name: str) -> PublicKey:
        """Return a public key; no passphrase is needed, and the sealed part is not compared.

        Raises: KeystoreError.
        """
        return self._read(name).public

    def generate(self, name: str, passphrase: str) -> PublicKey:
        """Make a key and write its record.

        Raises: KeystoreError when the name is taken; PassphraseError for another passphrase.
        """
        return self._add(name, PrivateKey.generate(), passphrase)

    def import_pem(self, name: str, passphrase: str, pem: str | bytes) -> PublicKey:
        """Take over a PKCS#8 key under a new hedge secret.

        Raises: as `generate`; SignatureError when the key is refused.
        """
        return self._add(name, PrivateKey.from_pem(pem), passphrase)

    def signer(self, name: str, passphrase: str) -> FileSigner:
        """Unseal a key.

        Raises: PassphraseError, KeystoreError.
        """
        return FileSigner(*self._read(name).unseal(passphrase, self._place(name)))

    def _add(self, name: str, key: PrivateKey, passphrase: str) -> PublicKey:
        record.check_name(name)
        self._store.check_passphrase(passphrase, STORE_FILE)
        path = self._path(name)
        entry = KeyRecord.make(name, key, secrets.token_bytes(HEDGE_BYTES), passphrase, self.profile)
        with disk.locked(self.path):
            if disk.exists(path):
                raise KeystoreError(
                    f"expected no key {name!r}, got one", place=self._place(name), hint="take another name"
                )
            disk.write(path, entry.encode())
        return entry.public

    def _read(self, name: str) -> KeyRecord:
        record.check_name(name)
        path = self._path(name)
        if not disk.exists(path):
            known = ", ".join(map(repr, self.names())) or "no key at all"
            raise KeystoreError(
                f"expected the key {name!r}, got {known}",
                place=str(self.path),
                hint=f"make it: ferry keystore generate {name}",
            )
        return KeyRecord.parse(disk.read(path), self._place(name), name=name, profile=self.profile)

    def _path(self, name: str) -> Path:
        return self.path / KEYS_DIRECTORY / f"{name}.json"

    @staticmethod
    def _place(name: str) -> str:
        return f"{KEYS_DIRECTORY}/{name}.json"


def exists(path: Path) -> bool:
    """Tell whether a directory holds a keystore, of any version."""
    return disk.exists(path / STORE_FILE)
