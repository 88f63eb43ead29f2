"""Encrypt with the symmetric key types: 12 bytes of nonce, the ciphertext, 16 bytes of tag.

Source: NIST SP 800-38D (GCM), GB/T 36624-2018 and RFC 8998 (SM4-GCM), RFC 8439 (ChaCha20-Poly1305), RFC 5869 (HKDF).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keystore import sm4
from keystore.engines.request import RequestError
from keystore.engines.transit import digests
from keystore.engines.transit.key import Key

NONCE_BYTES = 12
TAG_BYTES = 16
_Act = Callable[[bytes, bytes, bytes, bytes], bytes]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Cipher:
    """One cipher; each takes key, nonce, data and associated data."""

    seal: _Act
    open: _Act


_AES = _Cipher(
    seal=lambda key, nonce, data, more: AESGCM(key).encrypt(nonce, data, more),
    open=lambda key, nonce, data, more: AESGCM(key).decrypt(nonce, data, more),
)
_CHACHA = _Cipher(
    seal=lambda key, nonce, data, more: ChaCha20Poly1305(key).encrypt(nonce, data, more),
    open=lambda key, nonce, data, more: ChaCha20Poly1305(key).decrypt(nonce, data, more),
)
_SM4 = _Cipher(seal=sm4.gcm_encrypt, open=sm4.gcm_decrypt)
_CIPHERS: Mapping[str, _Cipher] = {
    "sm4-gcm": _SM4,
    "aes128-gcm96": _AES,
    "aes256-gcm96": _AES,
    "chacha20-poly1305": _CHACHA,
}
_NO_CONTEXT = (
    "missing 'context' for key derivation; the key was created using a derived key, which means additional, "
    "per-request information must be included in order to perform operations with the key"
)


def seal(key: Key, secret: bytes, plaintext: bytes, context: bytes, associated: bytes) -> bytes:
    """Return nonce, ciphertext and tag under one version's secret.

    A convergent key's nonce is the MAC of associated data and plaintext under a key of its own, so that equal input
    gives equal output, and no two inputs share a nonce.
    Raises: RequestError.
    """
    working = working_secret(key, secret, context)
    nonce = secrets.token_bytes(NONCE_BYTES)
    if key.convergent:
        nonce = _convergent_nonce(key, secret, context, plaintext, associated)
    return nonce + _CIPHERS[key.kind.name].seal(working, nonce, plaintext, associated)


def unseal(key: Key, secret: bytes, ciphertext: bytes, context: bytes, associated: bytes) -> bytes:
    """Return the plaintext.

    Raises: RequestError when anything differs.
    """
    working = working_secret(key, secret, context)
    if len(ciphertext) < NONCE_BYTES + TAG_BYTES:
        raise RequestError("invalid ciphertext length")
    nonce, body = ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:]
    try:
        return _CIPHERS[key.kind.name].open(working, nonce, body, associated)
    except InvalidTag:
        raise RequestError("cipher: message authentication failed") from None


def working_secret(key: Key, secret: bytes, context: bytes) -> bytes:
    """Return the secret of this context for a derived key, the version's own for any other.

    Raises: RequestError when a derived key gets no context.
    """
    if not key.derived:
        return secret
    if not context:
        raise RequestError(_NO_CONTEXT)
    return _expand(key, secret, b"key", context, len(secret))


def _convergent_nonce(key: Key, secret: bytes, context: bytes, plaintext: bytes, associated: bytes) -> bytes:
    bound = len(associated).to_bytes(8, "big") + associated + plaintext
    return digests.mac(_hash(key), _expand(key, secret, b"nonce", context, 32), bound)[:NONCE_BYTES]


def _expand(key: Key, secret: bytes, purpose: bytes, context: bytes, size: int) -> bytes:
    info = b"ferry/transit/" + key.kind.name.encode("ascii") + b"/" + purpose + b"\x00" + context
    return HKDF(algorithm=_hash(key), length=size, salt=None, info=info).derive(secret)


def _hash(key: Key) -> hashes.HashAlgorithm:
    return hashes.SM3() if key.kind.name == "sm4-gcm" else hashes.SHA256()
