"""SM3 and HMAC-SM3, by the cryptography library.

Source: GB/T 32905-2016 (SM3), RFC 2104 (HMAC).
"""

from __future__ import annotations

from typing import Self, TypeAlias

from cryptography.hazmat.primitives import hashes, hmac

DIGEST_BYTES = 32
BLOCK_BYTES = 64

Data: TypeAlias = bytes | bytearray | memoryview


class Sm3:
    """Hash a stream with SM3, with the methods of a `hashlib` object."""

    name = "sm3"
    digest_size = DIGEST_BYTES
    block_size = BLOCK_BYTES

    def __init__(self, data: Data = b"", *, _context: hashes.Hash | None = None) -> None:
        self._context = _context or hashes.Hash(hashes.SM3())
        self._context.update(data)

    def update(self, data: Data) -> None:
        """Feed more bytes."""
        self._context.update(data)

    def copy(self) -> Self:
        """Return an independent copy of the state."""
        return type(self)(_context=self._context.copy())

    def digest(self) -> bytes:
        """Return the digest of the bytes so far; more may follow."""
        return self._context.copy().finalize()

    def hexdigest(self) -> str:
        """Return `digest()` in hexadecimal."""
        return self.digest().hex()


def new(data: Data = b"") -> Sm3:
    """Start a hash, fed with `data`."""
    return Sm3(data)


def sm3(data: Data) -> bytes:
    """Return the 32 bytes of the SM3 digest of `data`."""
    context = hashes.Hash(hashes.SM3())
    context.update(data)
    return context.finalize()


def hmac_sm3(key: bytes, data: Data) -> bytes:
    """Return the 32 bytes of HMAC-SM3 of `data`."""
    mac = hmac.HMAC(key, hashes.SM3())
    mac.update(data)
    return mac.finalize()
