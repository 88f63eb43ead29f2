"""Encrypt and decrypt under one version of a key of any type.

Source: RFC 8017, clause 7.1 (RSA-OAEP, here with SHA-256 for both hashes); `keystore.sm2cipher` for SM2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from keystore import sm2, sm2cipher
from keystore.engines.body import decode_base64, encode_base64
from keystore.engines.request import RequestError
from keystore.engines.transit import aead, keys, text
from keystore.engines.transit.key import Key
from keystore.errors import KeystoreError

TOO_OLD = "ciphertext or signature version is disallowed by policy (too old)"
_OAEP = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
_RSA_FAILED = "failed to RSA decrypt the ciphertext: decryption error"


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """What a ciphertext is bound to beside its key; both may be empty."""

    context: bytes = b""
    associated: bytes = b""


def choose_version(key: Key, asked: int, purpose: str) -> int:
    """Return the version to work with: the one asked for, or the latest for 0.

    Raises: RequestError.
    """
    if asked < 0:
        raise RequestError(f"requested version for {purpose} is negative")
    if asked > key.latest:
        raise RequestError(f"requested version for {purpose} is higher than the latest key version")
    chosen = asked or key.latest
    if chosen < max(key.min_encryption, min(key.versions)):
        raise RequestError(f"requested version for {purpose} is less than the minimum encryption key version")
    return chosen


def seal(key: Key, version: int, plaintext: bytes, bound: Bound) -> str:
    """Return the text of a ciphertext.

    Raises: RequestError.
    """
    if not key.kind.encrypts:
        raise RequestError(f"message encryption not supported for key type {key.kind.name}")
    _expect_fitting(key, bound)
    secret = key.versions[version].secret
    if key.kind.name == "sm2":
        sealed = _seal_sm2(key.versions[version].public, plaintext)
    elif key.kind.authenticates_more:
        sealed = aead.seal(key, secret, plaintext, bound.context, bound.associated)
    else:
        sealed = _seal_rsa(key, secret, plaintext)
    return text.write(version, encode_base64(sealed))


def unseal(key: Key, ciphertext: str, bound: Bound) -> bytes:
    """Return the plaintext of a text that `seal` made.

    Raises: RequestError.
    """
    if not key.kind.encrypts:
        raise RequestError(f"message decryption not supported for key type {key.kind.name}")
    version, encoded = text.split(ciphertext, "ciphertext")
    if version > key.latest:
        raise RequestError("invalid ciphertext: version is too new")
    if version < key.min_decryption:
        raise RequestError(TOO_OLD)
    _expect_fitting(key, bound)
    try:
        sealed = decode_base64(encoded)
    except RequestError:
        raise RequestError("invalid ciphertext: could not decode base64") from None
    return _open(key, key.versions[version].secret, sealed, bound)


def _open(key: Key, secret: bytes, sealed: bytes, bound: Bound) -> bytes:
    if key.kind.name == "sm2":
        return _open_sm2(secret, sealed)
    if key.kind.authenticates_more:
        return aead.unseal(key, secret, sealed, bound.context, bound.associated)
    return _open_rsa(key, secret, sealed)


def _expect_fitting(key: Key, bound: Bound) -> None:
    if bound.associated and not key.kind.authenticates_more:
        raise RequestError(f"'[0].associated_data' provided for non-AEAD cipher suite {key.kind.name}")


def _seal_sm2(public: str, plaintext: bytes) -> bytes:
    try:
        return sm2cipher.encrypt(sm2.PublicKey.from_pem(public), plaintext)
    except KeystoreError as error:
        _refuse(error)


def _open_sm2(secret: bytes, sealed: bytes) -> bytes:
    try:
        return sm2cipher.decrypt(int.from_bytes(secret, "big"), sealed)
    except KeystoreError as error:
        _refuse(error)


def _refuse(error: KeystoreError) -> NoReturn:
    raise RequestError(str(error)) from None


def _seal_rsa(key: Key, secret: bytes, plaintext: bytes) -> bytes:
    found = keys.load_rsa(secret, _bits(key))
    if len(plaintext) > _bits(key) // 8 - 2 * hashes.SHA256.digest_size - 2:
        raise RequestError("failed to RSA encrypt the plaintext: message too long for RSA key size")
    return found.public_key().encrypt(plaintext, _OAEP)


def _open_rsa(key: Key, secret: bytes, sealed: bytes) -> bytes:
    found = keys.load_rsa(secret, _bits(key))
    try:
        return found.decrypt(sealed, _OAEP)
    except ValueError:
        raise RequestError(_RSA_FAILED) from None


def _bits(key: Key) -> int:
    return int(key.kind.name.removeprefix("rsa-"))
