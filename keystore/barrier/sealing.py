"""The seal: the unseal key, kept by people in shares, opens the root key, and that the keyring."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from keystore import document, moment, shamir
from keystore.barrier.cipher import KEY_BYTES, Key, Suite, suite_of
from keystore.barrier.keyring import Keyring
from keystore.errors import KeystoreError, StoreError, UnsealError

DOCUMENT = "seal"
FORMAT = "ferry-store"
VERSION = 1
_SHAPE = {
    "format": str,
    "version": int,
    "store": str,
    "name": str,
    "profile": str,
    "created": str,
    "shares": int,
    "threshold": int,
    "root": str,
    "keyring": str,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Seal:
    """What lies on the disk of the seal, nothing of it secret: root key and keyring are ciphertext."""

    store: str
    name: str
    profile: str
    created: datetime
    shares: int
    threshold: int
    root: bytes
    keyring: bytes

    @property
    def suite(self) -> Suite:
        """The algorithms of the profile."""
        return suite_of(self.profile, "seal.profile")

    def encode(self) -> bytes:
        """Return the document that `parse` reads."""
        return document.canonical(
            {
                "format": FORMAT,
                "version": VERSION,
                "store": self.store,
                "name": self.name,
                "profile": self.profile,
                "created": moment.stamp(self.created),
                "shares": self.shares,
                "threshold": self.threshold,
                "root": document.encode_base64(self.root),
                "keyring": document.encode_base64(self.keyring),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Seal:
        """Return the seal of a document.

        Raises: KeystoreError.
        """
        found = document.fields(document.parse(data, DOCUMENT), DOCUMENT, _SHAPE)
        document.expect(found["format"], FORMAT, "seal.format")
        document.expect(found["version"], VERSION, "seal.version")
        check_shares(found["shares"], found["threshold"])
        suite_of(found["profile"], "seal.profile")
        return cls(
            store=found["store"],
            name=found["name"],
            profile=found["profile"],
            created=moment.parse(found["created"], "seal.created"),
            shares=found["shares"],
            threshold=found["threshold"],
            root=document.decode_base64(found["root"], "seal.root"),
            keyring=document.decode_base64(found["keyring"], "seal.keyring"),
        )

    def open_root(self, unseal_key: Key) -> bytearray:
        """Return the root key.

        Raises: UnsealError for another unseal key.
        """
        try:
            return bytearray(self.suite.unseal(unseal_key, self.root, self._bound("root"), "seal.root"))
        except StoreError:
            raise UnsealError(
                "expected shares of this store's unseal key, got others, or the seal was altered",
                hint="enter all shares again; after a rekey the older ones are void",
            ) from None

    def open_keyring(self, root_key: Key) -> Keyring:
        """Return the keyring.

        Raises: StoreError when the document was altered.
        """
        return Keyring.parse(self.suite.unseal(root_key, self.keyring, self._bound("keyring"), "seal.keyring"))

    def with_keyring(self, keyring: Keyring, root_key: Key) -> Seal:
        """Return this seal around another keyring."""
        return replace(self, keyring=self.suite.seal(root_key, keyring.encode(), self._bound("keyring")))

    def rekeyed(self, root_key: Key, shares: int, threshold: int) -> tuple[Seal, list[bytes]]:
        """Return this seal under a new unseal key, and the shares of that key; the older ones open it no more.

        Raises: KeystoreError.
        """
        check_shares(shares, threshold)
        unseal_key = secrets.token_bytes(KEY_BYTES)
        sealed = self.suite.seal(unseal_key, bytes(root_key), self._bound("root"))
        parts = [unseal_key] if shares == 1 else shamir.split(unseal_key, shares, threshold)
        return replace(self, shares=shares, threshold=threshold, root=sealed), parts

    def held_as(self, other: Seal) -> Seal:
        """Return this seal under the unseal key of another one of the same store."""
        return replace(self, shares=other.shares, threshold=other.threshold, root=other.root)

    def _bound(self, what: str) -> bytes:
        return f"ferry/seal/v1\0{self.store}\0{self.profile}\0{what}".encode()


def create(profile: str, shares: int, threshold: int, now: datetime) -> tuple[Seal, list[bytes], Keyring, bytearray]:
    """Make a seal; return it with the shares of its unseal key, its keyring and its root key.

    Raises: KeystoreError.
    """
    check_shares(shares, threshold)
    suite_of(profile, "profile")
    root_key = bytearray(secrets.token_bytes(KEY_BYTES))
    keyring = Keyring.generate(now)
    store = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    blank = Seal(
        store=store,
        name=f"vault-cluster-{secrets.token_hex(4)}",
        profile=profile,
        created=now,
        shares=shares,
        threshold=threshold,
        root=b"",
        keyring=b"",
    )
    seal, parts = blank.with_keyring(keyring, root_key).rekeyed(root_key, shares, threshold)
    return seal, parts, keyring, root_key


def check_shares(shares: int, threshold: int) -> None:
    """Refuse numbers of shares that cannot be split.

    Raises: KeystoreError.
    """
    if shares == 1 and threshold == 1:
        return
    if not 2 <= threshold <= shares <= shamir.SHARES_MOST:
        raise KeystoreError(
            f"expected 1 share of 1, or 2 <= threshold <= shares <= {shamir.SHARES_MOST},"
            f" got threshold {threshold} of {shares} shares"
        )


def join(shares: Sequence[bytes]) -> bytes:
    """Return the unseal key of its shares; that of a single share is the share.

    Raises: KeystoreError.
    """
    return shares[0] if len(shares) == 1 else shamir.combine(shares)
