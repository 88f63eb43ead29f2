"""The header of a 7z archive: only what says where one stored file is, and how it is encrypted.

Source: 7zFormat.txt and Methods.txt of the LZMA SDK.
"""

from __future__ import annotations

import lzma
from dataclasses import dataclass

from bundler.errors import IntegrityError

START_BYTES = 32
MOST_HEADER_BYTES = 16 * 1024 * 1024
COPY, LZMA, LZMA2, AES = b"\0", b"\x03\x01\x01", b"\x21", b"\x06\xf1\x07\x01"
_END, HEADER, _STREAMS, _FILES, _PACK, _UNPACK, _SUBSTREAMS, _SIZES, _CRCS = 0, 1, 4, 5, 6, 7, 8, 9, 10
_FOLDERS, _UNPACK_SIZES, _NUMBER_OF_SUBSTREAMS, ENCODED = 11, 12, 13, 23


@dataclass(frozen=True, kw_only=True, slots=True)
class Coder:
    """A method by its number, with its properties."""

    method: bytes
    properties: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Folder:
    """How one stream was packed: its coders, what each gives back in bytes, where it stands and its CRC, if told."""

    coders: tuple[Coder, ...]
    sizes: tuple[int, ...]
    offset: int
    packed_bytes: int
    crc: int | None

    def coder(self, *methods: bytes) -> Coder | None:
        """Return the coder of one of these methods."""
        return next((one for one in self.coders if one.method in methods), None)


def other(why: str) -> IntegrityError:
    """Return the refusal of an archive that is not of the one kind that is read."""
    return IntegrityError(
        f"expected a 7z archive of one stored file, {why}",
        hint="make it with `ferry export --7z`, or unpack it with `7z x` and give the bundle",
    )


class Cursor:
    """Reads the fields of a header; one that ends too early is refused."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return the next bytes.

        Raises:
            IntegrityError: there are not as many.
        """
        if count > len(self._data) - self._at:
            raise other("its header ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def byte(self) -> int:
        """Return the next byte."""
        return self.take(1)[0]

    def number(self) -> int:
        """Read a number: the leading ones of the first byte tell how many bytes follow."""
        first, value = self.byte(), 0
        for index in range(8):
            mask = 0x80 >> index
            if not first & mask:
                return value | (first & (mask - 1)) << (8 * index)
            value |= self.byte() << (8 * index)
        return value

    def expect(self, kind: int) -> None:
        """Pass over a byte.

        Raises:
            IntegrityError: it is another.
        """
        if (got := self.byte()) != kind:
            raise other(f"its header has {got:#04x} where {kind:#04x} belongs")


def stored_file(cursor: Cursor) -> Folder:
    """Read a header: one file in one stream, stored, with or without encryption."""
    cursor.expect(HEADER)
    cursor.expect(_STREAMS)
    folder = read_streams(cursor)
    cursor.expect(_FILES)
    if (count := cursor.number()) != 1:
        raise other(f"it has {count} files")
    methods = [coder.method for coder in folder.coders]
    if not set(methods) <= {COPY, AES} or methods.count(AES) > 1:
        raise other("it is compressed or encrypted otherwise")
    return folder


def read_streams(cursor: Cursor) -> Folder:
    """Read where the one stream is and how it was packed.

    Raises:
        IntegrityError: there is no such stream, or more than one.
    """
    cursor.expect(_PACK)
    offset = START_BYTES + cursor.number()
    if cursor.number() != 1:
        raise other("it has several streams")
    cursor.expect(_SIZES)
    packed = cursor.number()
    kind = cursor.byte()
    if kind == _CRCS:
        _checksum(cursor)
        kind = cursor.byte()
    if kind != _END:
        raise other("its header says more of its streams")
    coders = _coders(cursor)
    cursor.expect(_UNPACK_SIZES)
    sizes = tuple(cursor.number() for _ in coders)
    crc, kind = None, cursor.byte()
    if kind == _CRCS:
        crc, kind = _checksum(cursor), cursor.byte()
    if kind != _END:
        raise other("its header says more of its coders")
    _substreams(cursor)
    return Folder(coders=coders, sizes=sizes, offset=offset, packed_bytes=packed, crc=crc)


def _checksum(cursor: Cursor) -> int:
    if cursor.byte() != 1:
        raise other("it has no checksum")
    return int.from_bytes(cursor.take(4), "little")


def _coders(cursor: Cursor) -> tuple[Coder, ...]:
    cursor.expect(_UNPACK)
    cursor.expect(_FOLDERS)
    if cursor.number() != 1 or cursor.byte() != 0:
        raise other("it has several streams")
    count = cursor.number()
    if not 1 <= count <= 4:
        raise other(f"it has {count} coders")
    coders = tuple(_coder(cursor) for _ in range(count))
    # Which coder reads from which: they follow one another in any case.
    for _ in range(2 * (count - 1)):
        cursor.number()
    return coders


def _coder(cursor: Cursor) -> Coder:
    flags = cursor.byte()
    method = cursor.take(flags & 0x0F)
    if flags & 0xD0:
        raise other("it has a coder of several streams")
    return Coder(method=method, properties=cursor.take(cursor.number()) if flags & 0x20 else b"")


def _substreams(cursor: Cursor) -> None:
    kind = cursor.byte()
    if kind == _SUBSTREAMS:
        kind = cursor.byte()
        if kind == _NUMBER_OF_SUBSTREAMS:
            if cursor.number() != 1:
                raise other("it has several files")
            kind = cursor.byte()
        if kind == _CRCS:
            _checksum(cursor)
            kind = cursor.byte()
        if kind != _END:
            raise other("its header says more of its files")
        kind = cursor.byte()
    if kind != _END:
        raise other("its header says more of its streams")


def decompress(folder: Folder, data: bytes) -> bytes:
    """Return a header that was compressed, up to the size that it should have."""
    coder = folder.coder(LZMA, LZMA2)
    if coder is None:
        return data[: folder.sizes[0]]
    size = folder.sizes[folder.coders.index(coder)]
    try:
        filters = [_filter(coder)]
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters).decompress(data, size)
    except (lzma.LZMAError, ValueError):
        # Wrong bytes: the CRC says so.
        return b""


def _filter(coder: Coder) -> dict[str, int]:
    """Return the filter of the lzma module; a header needs no dictionary larger than it may be itself."""
    if coder.method == LZMA2:
        return {"id": lzma.FILTER_LZMA2, "dict_size": MOST_HEADER_BYTES}
    properties = Cursor(coder.properties)
    first = properties.byte()
    return {
        "id": lzma.FILTER_LZMA1,
        "dict_size": MOST_HEADER_BYTES,
        "lc": first % 9,
        "lp": first // 9 % 5,
        "pb": first // 45,
    }
