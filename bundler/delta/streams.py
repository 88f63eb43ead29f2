"""Where deflated streams stand in a blob: the members of a gzip file, the entries of a zip archive."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile

from bundler.delta.deflate import PIECE_BYTES, RAW

_GZIP, _ZIP = b"\x1f\x8b\x08", b"PK\x03\x04"
_TRAILER_BYTES = 8
_LOCAL_BYTES = 30
_LOCAL_LENGTHS = struct.Struct("<HH")
_BROKEN = (BadZipFile, zlib.error, struct.error, ValueError, IndexError, OverflowError, NotImplementedError, EOFError)


class Stream(NamedTuple):
    """A raw deflate stream in a blob: `length` bytes from `start` on."""

    start: int
    length: int

    def of(self, data: memoryview) -> memoryview:
        """Return its bytes."""
        return data[self.start : self.start + self.length]

    def digest(self, data: memoryview) -> bytes:
        """Return a digest of its bytes."""
        return hashlib.sha256(self.of(data)).digest()


class _File(io.RawIOBase):
    """Memory as a file, without a copy of it."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._data)}[whence]
        if base + offset < 0:
            raise ValueError("expected a position in the file")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        piece = self._data[self._at : self._at + len(buffer)]
        buffer[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)


def find_streams(data: memoryview) -> list[Stream]:
    """Return the deflated streams of a blob in order.

    They do not overlap; whether zlib takes them is not checked. What is no archive, or a damaged one, has none.
    """
    try:
        if data[:3] == _GZIP:
            return list(_members(data))
        if data[:4] == _ZIP:
            return list(_entries(data))
    except _BROKEN:
        pass
    return []


def _members(data: memoryview) -> Iterator[Stream]:
    at = 0
    while data[at : at + 3] == _GZIP:
        start = _behind_header(data, at)
        length = _stream_length(data, start)
        if length == 0:
            return
        yield Stream(start, length)
        at = start + length + _TRAILER_BYTES


def _behind_header(data: memoryview, at: int) -> int:
    """Return where the stream of a gzip member begins.

    Source: RFC 1952, section 2.3.
    """
    flags, at = data[at + 3], at + 10
    if flags & 4:
        at += 2 + data[at] + 256 * data[at + 1]
    for flag in (8, 16):
        if flags & flag:
            while data[at] != 0:
                at += 1
            at += 1
    return at + (2 if flags & 2 else 0)


def _stream_length(data: memoryview, start: int) -> int:
    """Return how long the raw stream at `start` is, 0 when there is none."""
    inflater, at = zlib.decompressobj(RAW), start
    try:
        while not inflater.eof and at < len(data):
            rest: bytes | memoryview = data[at : at + PIECE_BYTES]
            at += len(rest)
            while rest and not inflater.eof:
                inflater.decompress(rest, PIECE_BYTES)
                rest = inflater.unconsumed_tail
    except zlib.error:
        return 0
    return at - start - len(inflater.unused_data) if inflater.eof else 0


def _entries(data: memoryview) -> Iterator[Stream]:
    end = 0
    with ZipFile(io.BufferedReader(_File(data))) as archive:
        members = sorted(archive.infolist(), key=lambda one: one.header_offset)
    for member in members:
        at = member.header_offset
        if member.compress_type != ZIP_DEFLATED or at < end or data[at : at + 4] != _ZIP:
            continue
        names, extra = _LOCAL_LENGTHS.unpack(data[at + 26 : at + _LOCAL_BYTES])
        found = Stream(at + _LOCAL_BYTES + names + extra, member.compress_size)
        end = found.start + found.length
        if found.length and end <= len(data):
            yield found
