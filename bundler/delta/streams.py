"""Where deflated streams stand in a blob: the members of a gzip file, the entries of a zip archive."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple, cast
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


def find_streams(data: memoryview, stream: BinaryIO) -> list[Stream]:
    """Return the deflated streams of a blob in order, which is given as memory and as a file.

    They do not overlap; whether zlib takes them is not checked. What is no archive, or a damaged one, has none.
    """
    try:
        if data[:3] == _GZIP:
            return list(_members(data))
        if data[:4] == _ZIP:
            return list(_entries(data, stream))
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


def _entries(data: memoryview, stream: BinaryIO) -> Iterator[Stream]:
    end = 0
    with ZipFile(cast(BinaryIO, stream)) as archive:
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
