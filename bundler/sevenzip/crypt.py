"""The encryption of 7z: a key from many rounds of SHA-256, AES-256 in CBC.

Source: Methods.txt of the LZMA SDK, 7zAES.cpp.
"""

from __future__ import annotations

import hashlib

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from bundler.sevenzip.header import Cursor, other

BLOCK = 16
# 2^19 is what everyone writes; a hostile archive must not keep a host busy for hours.
_MOST_CYCLES = 24


def properties_of(data: bytes) -> tuple[int, bytes, bytes]:
    """Return the cycles of the key as a power of two, the salt, and the initial vector."""
    cursor = Cursor(data)
    first = cursor.byte()
    second = cursor.byte() if first & 0xC0 else 0
    salt = cursor.take((first >> 7) + (second >> 4))
    vector = cursor.take((first >> 6 & 1) + (second & 0x0F))
    return first & 0x3F, salt, vector.ljust(BLOCK, b"\0")


def derive(password: str, salt: bytes, cycles: int) -> bytes:
    """Return the key of a password.

    Raises:
        IntegrityError: the archive asks for more rounds than anyone writes.
    """
    if cycles > _MOST_CYCLES:
        raise other(f"its key takes 2^{cycles} rounds")
    start = salt + password.encode("utf-16-le", "surrogatepass")
    digest = hashlib.sha256()
    step = min(1 << cycles, 1024)
    for first in range(0, 1 << cycles, step):
        digest.update(b"".join(start + number.to_bytes(8, "little") for number in range(first, first + step)))
    return digest.digest()


def decrypt(key: bytes, iv: bytes, data: bytes) -> bytes:
    """Return the whole blocks of some bytes in clear."""
    whole = data[: len(data) - len(data) % BLOCK]
    return Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor().update(whole)
