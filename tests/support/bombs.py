"""Small blobs that say they are large ones, byte for byte the same whatever compressor is at hand."""

from __future__ import annotations

import io
import struct
import tarfile
import zipfile
import zlib

_LONGEST_MATCH = 258


def layer_bomb(plain_bytes: int) -> bytes:
    """Return a gzip-compressed tar with one file of zeros."""
    info = tarfile.TarInfo("zeros")
    info.size = plain_bytes
    first = info.tobuf(tarfile.GNU_FORMAT)
    # What is more than the file ends the archive.
    repeats = -(-(plain_bytes + 1536) // _LONGEST_MATCH)
    zeros = bytes(1 + repeats * _LONGEST_MATCH)
    stored = b"\0" + struct.pack("<HH", len(first), len(first) ^ 0xFFFF) + first
    trailer = struct.pack("<II", zlib.crc32(zeros, zlib.crc32(first)), (len(first) + len(zeros)) & 0xFFFFFFFF)
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + stored + _run_of_zeros(repeats) + trailer


def _run_of_zeros(repeats: int) -> bytes:
    """Return a last block of deflate with fixed codes: a zero, and that many times 258 more (RFC 1951, 3.2.6)."""
    bits = "1" + "10" + "00110000" + ("11000101" + "00000") * repeats + "0000000"
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def wheel_bomb(said_bytes: int) -> bytes:
    """Return a wheel whose directory says of one file that it is this large."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, text in (("sample.py", "x"), ("sample-1.dist-info/RECORD", "")):
            archive.writestr(zipfile.ZipInfo(name), text)
    data = out.getvalue()
    at = data.index(b"PK\x01\x02") + 24
    return data[:at] + struct.pack("<I", said_bytes) + data[at + 4 :]


def name_bomb(said_bytes: int) -> bytes:
    """Return a tar whose first member says that its name takes this many bytes."""
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, said_bytes
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(512)


def stored_gzip(plain: bytes) -> bytes:
    """Return gzip without compression."""
    block = b"\x01" + struct.pack("<HH", len(plain), len(plain) ^ 0xFFFF) + plain
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block + struct.pack("<II", zlib.crc32(plain), len(plain))
