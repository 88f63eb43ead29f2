"""A keystore in a directory: `keystore.json`, and one sealed record per key under `keys/`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from keystore import algorithm, disk, record, seal
from keystore.algorithm import Algorithm
from keystore.errors import KeystoreError, UseError
from keystore.hedged import FileSigner
from keystore.public import VerifyingKey
from keystore.record import KeyRecord, StoreRecord
from keystore.signer import Signer
from keystore.use import Use

__all__ = ["FileKeystore", "FileSigner", "exists"]

STORE_FILE = "keystore.json"
KEYS_DIRECTORY = "keys"


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

    def public(self, name: str) -> VerifyingKey:
        """Return a public key; no passphrase is needed, and the sealed part is not compared.

        Raises: KeystoreError.
        """
        return self._read(name).public

    def generate(self, name: str, passphrase: str, algorithm_name: str = algorithm.SM2.name) -> VerifyingKey:
        """Make a key of an algorithm ('sm2', 'ed25519' or 'ecdsa-p256') and write its record.

        Raises: KeystoreError when the name is taken; PassphraseError for another passphrase.
        """
        chosen = algorithm.named(algorithm_name)
        return self._add(name, chosen, chosen.generate(), passphrase)

    def import_pem(self, name: str, passphrase: str, pem: str | bytes) -> VerifyingKey:
        """Take over a PKCS#8 key, one of SM2 under a new hedge secret.

        Raises: as `generate`; SignatureError when the key is refused.
        """
        chosen = algorithm.of_private_pem(pem)
        return self._add(name, chosen, chosen.take(pem), passphrase)

    def signer(self, name: str, passphrase: str) -> Signer:
        """Unseal a key.

        Raises: PassphraseError, KeystoreError.
        """
        return self._read(name).unseal(passphrase, self._place(name))

    def use(self, name: str) -> Use | None:
        """Return the use policy of a key, None where it has none; whether it was altered shows at the unsealing.

        Raises: KeystoreError.
        """
        return self._read(name).use

    def limit(self, name: str, passphrase: str, use: Use) -> None:
        """Put a key under a use policy, in place of the one before.

        Approvals are refused: there is one passphrase here, and nobody to tell operators apart.
        Raises: UseError, PassphraseError, KeystoreError.
        """
        if use.approvals:
            raise UseError(
                "expected a policy without approvals, as a key in files knows no operators, got one",
                place="approvals",
                hint="keep the key in a served keystore: ferry keystore generate vault:NAME --approvals 2 ...",
            )
        entry = self._read(name).with_use(use, passphrase, self._place(name))
        with disk.locked(self.path):
            disk.write(self._path(name), entry.encode())

    def certify(self, name: str, chain: bytes) -> None:
        """Keep a certificate chain in PEM beside its key, the signer's first; a chain kept before is replaced.

        Raises: SignatureError when it is not of this key, or its signatures do not fit each other.
        """
        from keystore import certificate

        certificates = certificate.split(chain)
        certificate.check_held(certificates, self._read(name).public)
        with disk.locked(self.path):
            disk.write(self._chain_path(name), b"".join(certificates))

    def certificates(self, name: str) -> tuple[bytes, ...]:
        """Return the PEM of each certificate that is kept beside a key, the signer's first; none where none is.

        Raises: KeystoreError.
        """
        self._read(name)
        path = self._chain_path(name)
        if not disk.exists(path):
            return ()
        # Few keys have certificates, and what parses them takes longer to load than all of the rest here.
        from keystore import certificate

        return certificate.split(disk.read(path))

    def _add(self, name: str, chosen: Algorithm, secret: bytes, passphrase: str) -> VerifyingKey:
        record.check_name(name)
        self._store.check_passphrase(passphrase, STORE_FILE)
        path = self._path(name)
        entry = KeyRecord.make(name, chosen, secret, passphrase, self.profile)
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

    def _chain_path(self, name: str) -> Path:
        return self.path / KEYS_DIRECTORY / f"{name}.crt"

    @staticmethod
    def _place(name: str) -> str:
        return f"{KEYS_DIRECTORY}/{name}.json"


def exists(path: Path) -> bool:
    """Tell whether a directory holds a keystore, of any version."""
    return disk.exists(path / STORE_FILE)
