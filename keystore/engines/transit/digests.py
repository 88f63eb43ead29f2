"""The hashes by the names of the API: SHA-2, SHA-3, and SM3 as `sm3`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from cryptography.hazmat.primitives import hashes, hmac

from keystore.engines.request import RequestError

DEFAULT = "sha2-256"
_HASHES: Mapping[str, Callable[[], hashes.HashAlgorithm]] = {
    "sha2-224": hashes.SHA224,
    "sha2-256": hashes.SHA256,
    "sha2-384": hashes.SHA384,
    "sha2-512": hashes.SHA512,
    "sha3-224": hashes.SHA3_224,
    "sha3-256": hashes.SHA3_256,
    "sha3-384": hashes.SHA3_384,
    "sha3-512": hashes.SHA3_512,
    "sm3": hashes.SM3,
}


def named(name: str, refusal: str) -> hashes.HashAlgorithm:
    """Return the hash of this name, or refuse with these words.

    Raises: RequestError.
    """
    if name not in _HASHES:
        raise RequestError(refusal)
    return _HASHES[name]()


def digest(algorithm: hashes.HashAlgorithm, data: bytes) -> bytes:
    """Return the digest of data."""
    state = hashes.Hash(algorithm)
    state.update(data)
    return state.finalize()


def mac(algorithm: hashes.HashAlgorithm, key: bytes, data: bytes) -> bytes:
    """Return the HMAC of data."""
    state = hmac.HMAC(key, algorithm)
    state.update(data)
    return state.finalize()
