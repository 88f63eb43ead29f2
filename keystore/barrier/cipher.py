"""The two suites that seal records: SM4-GCM with HMAC-SM3, or AES-256-GCM with HMAC-SHA-256."""

from __future__ import annotations

import functools
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hmac import HMAC

from keystore import sm3, sm4
from keystore.errors import KeystoreError, StoreError

NONCE_BYTES = 12
TAG_BYTES = 16
KEY_BYTES = 32
"""Of every key that others are derived from; the cipher's own key is the first bytes of a MAC under it."""

Key = bytes | bytearray
Mac = Callable[[bytes], bytes]
"""A MAC under one key; it holds the key until it is let go."""


def _hmac_sha256(key: Key, data: bytes) -> bytes:
    return hmac.digest(bytes(key), data, "sha256")


def _hmac_sm3(key: Key, data: bytes) -> bytes:
    return sm3.hmac_sm3(bytes(key), data)


def _keyed(algorithm: hashes.HashAlgorithm, key: Key) -> Mac:
    """Return a MAC whose key is scheduled once: less than half the time for short data."""
    begun = HMAC(bytes(key), algorithm)

    def mac(data: bytes) -> bytes:
        context = begun.copy()
        context.update(data)
        return context.finalize()

    return mac


def _aes_encrypt(key: bytes, nonce: bytes, plaintext: bytes, associated: bytes) -> bytes:
    return AESGCM(key).encrypt(nonce, plaintext, associated)


def _aes_decrypt(key: bytes, nonce: bytes, ciphertext: bytes, associated: bytes) -> bytes:
    return AESGCM(key).decrypt(nonce, ciphertext, associated)


@dataclass(frozen=True, kw_only=True, slots=True)
class Suite:
    """A MAC that derives keys, and an AEAD that seals under them."""

    name: str
    cipher_name: str
    mac_name: str
    cipher_key_bytes: int
    mac: Callable[[Key, bytes], bytes]
    keyed: Callable[[Key], Mac]
    encrypt: Callable[[bytes, bytes, bytes, bytes], bytes]
    decrypt: Callable[[bytes, bytes, bytes, bytes], bytes]

    def seal(self, key: Key, plaintext: bytes, associated: bytes) -> bytes:
        """Return nonce, ciphertext and tag under a key derived for exactly this associated data."""
        return self.seal_by(self.keyed(key), plaintext, associated)

    def unseal(self, key: Key, sealed: bytes, associated: bytes, place: str) -> bytes:
        """Return what was sealed.

        Raises: StoreError when key, bytes or associated data differ.
        """
        return self.unseal_by(self.keyed(key), sealed, associated, place)

    def seal_by(self, mac: Mac, plaintext: bytes, associated: bytes) -> bytes:
        """Seal as `seal` does, with the key in the form of its MAC."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self.encrypt(self._derive(mac, associated), nonce, plaintext, associated)

    def unseal_by(self, mac: Mac, sealed: bytes, associated: bytes, place: str) -> bytes:
        """Unseal as `unseal` does, with the key in the form of its MAC.

        Raises: StoreError.
        """
        nonce, rest = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
        try:
            if len(rest) < TAG_BYTES:
                raise InvalidTag
            return self.decrypt(self._derive(mac, associated), nonce, rest, associated)
        except InvalidTag:
            raise StoreError(
                "expected a record that this store sealed, got altered bytes",
                place=place,
                hint="restore a snapshot, keep this file as evidence, and find out who changed it",
            ) from None

    def _derive(self, mac: Mac, associated: bytes) -> bytes:
        return mac(b"ferry/derive/v1\0" + associated)[: self.cipher_key_bytes]


SUITES: Mapping[str, Suite] = {
    "gm": Suite(
        name="gm",
        cipher_name="sm4-gcm",
        mac_name="sm3",
        cipher_key_bytes=sm4.KEY_BYTES,
        mac=_hmac_sm3,
        keyed=functools.partial(_keyed, hashes.SM3()),
        encrypt=sm4.gcm_encrypt,
        decrypt=sm4.gcm_decrypt,
    ),
    "standard": Suite(
        name="standard",
        cipher_name="aes-256-gcm",
        mac_name="sha256",
        cipher_key_bytes=32,
        mac=_hmac_sha256,
        keyed=functools.partial(_keyed, hashes.SHA256()),
        encrypt=_aes_encrypt,
        decrypt=_aes_decrypt,
    ),
}


def suite_of(profile: str, place: str) -> Suite:
    """Return the suite of a profile.

    Raises: KeystoreError.
    """
    if profile not in SUITES:
        raise KeystoreError(f"expected the profile 'gm' or 'standard', got {profile!r}", place=place)
    return SUITES[profile]


def wipe(key: Key | None) -> None:
    """Overwrite a key in memory; copies that libraries made of it are out of reach."""
    if isinstance(key, bytearray):
        key[:] = bytes(len(key))
