"""Custody by a file of 32 random bytes: on a medium that is taken away, or a credential that systemd decrypts."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from keystore import disk, document
from keystore.barrier.cipher import KEY_BYTES, suite_of
from keystore.errors import KeystoreError, StoreError, UnsealError

KIND = "keyfile"


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyFileCustodian:
    """Seal under the key of a file, in the store's profile."""

    profile: str
    key: bytes = field(repr=False)

    @property
    def kind(self) -> str:
        """The name of the means."""
        return KIND

    def seal(self, root_key: bytes, bound: bytes) -> dict[str, object]:
        """Return the sealed form."""
        suite = suite_of(self.profile, "profile")
        return {"cipher": suite.cipher_name, "sealed": document.encode_base64(suite.seal(self.key, root_key, bound))}

    def unseal(self, form: object, bound: bytes, place: str) -> bytes:
        """Return the root key.

        Raises: UnsealError, KeystoreError.
        """
        suite = suite_of(self.profile, "profile")
        found = document.fields(form, place, {"cipher": str, "sealed": str})
        document.expect(found["cipher"], suite.cipher_name, f"{place}.cipher")
        sealed = document.decode_base64(found["sealed"], f"{place}.sealed")
        try:
            return suite.unseal(self.key, sealed, bound, place)
        except StoreError:
            raise UnsealError(
                "expected the key file of this store, got another, or the custody was altered", place=place
            ) from None


def new_key() -> bytes:
    """Return the line of a new key file."""
    return secrets.token_hex(KEY_BYTES).encode("ascii") + b"\n"


def read_key(path: Path) -> bytes:
    """Return the key in a file of mode 0600: one line of 64 hexadecimal digits.

    Raises: KeystoreError.
    """
    disk.check_private_file(path)
    return parse_key(disk.read(path), str(path))


def parse_key(line: bytes, place: str) -> bytes:
    """Return the key of a key file's line.

    Raises: KeystoreError.
    """
    try:
        found = bytes.fromhex(line.decode("ascii").strip())
    except ValueError:
        found = b""
    if len(found) != KEY_BYTES:
        raise KeystoreError(f"expected a line of {2 * KEY_BYTES} hexadecimal digits, got another", place=place)
    return found
