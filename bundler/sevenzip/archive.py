"""A bundle inside an encrypted 7z archive of one or many volumes, read in place: no copy, any part of it at any time.

Only what `ferry export --7z` and `7z a -p -mhe -mx0` write is read: one file, stored, encrypted with AES-256 in CBC,
where each block is decrypted by itself. Nothing that the archive says is believed: the bundle inside proves itself.

Source: 7zFormat.txt and Methods.txt of the LZMA SDK.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from bundler.errors import IntegrityError, TrustError
from bundler.sevenzip.crypt import BLOCK, decrypt, derive, properties_of
from bundler.sevenzip.header import (
    AES,
    ENCODED,
    HEADER,
    MOST_HEADER_BYTES,
    START_BYTES,
    Coder,
    Cursor,
    Folder,
    decompress,
    other,
    read_streams,
    stored_file,
)
from bundler.source import FileSource, Source, read_at, readable

_MAGIC = b"7z\xbc\xaf\x27\x1c"
_NUMBERED = re.compile(r"(?P<stem>.+\.7z)\.(?P<number>[0-9]{3,})")


def is_sevenzip(path: Path) -> bool:
    """Say whether a file begins as a 7z archive does.

    Raises:
        IntegrityError: it cannot be read.
    """
    with FileSource(path) as source, readable(str(path)):
        return read_at(source, len(_MAGIC), 0) == _MAGIC


class SevenZip:
    """An archive by its first volume, or its only one; `password` is asked once it is known that one is needed.

    Raises:
        IntegrityError: a volume is missing, cut or damaged, or it is no archive that is read here.
        TrustError: the password does not open it.
    """

    def __init__(self, path: Path, password: Callable[[], str]) -> None:
        self._paths = _volumes(path)
        self._password = password
        self._keys: dict[bytes, bytes] = {}
        with self._opened() as whole, readable(str(path)):
            header_at, header = _read_header(whole)
            self._folder = self._read_folder(whole, header, header_at)
            self._coder = self._folder.coder(AES)
            if self._coder is not None:
                self._key(self._coder)

    def _read_folder(self, whole: Source, header: bytes, limit: int) -> Folder:
        """Return what the header says of the file inside, decrypted and decompressed where it is encoded."""
        cursor = Cursor(header)
        kind = cursor.byte()
        if kind == HEADER:
            return _checked(stored_file(Cursor(header)), limit)
        if kind != ENCODED:
            raise other("its header is of another kind")
        folder = read_streams(cursor)
        if folder.offset + folder.packed_bytes > limit or folder.packed_bytes > MOST_HEADER_BYTES:
            raise other("its header leads out of it")
        data = read_at(whole, folder.packed_bytes, folder.offset)
        aes = folder.coder(AES)
        if aes is not None:
            data = decrypt(self._key(aes), properties_of(aes.properties)[2], data)
            data = data[: folder.sizes[folder.coders.index(aes)]]
        return self._parsed(folder, decompress(folder, data), limit)

    def _parsed(self, folder: Folder, data: bytes, limit: int) -> Folder:
        """Parse a decoded header; one that is none tells of a wrong password, as not all writers add a CRC."""
        is_right = folder.crc is None or zlib.crc32(data) == folder.crc
        try:
            if is_right:
                return _checked(stored_file(Cursor(data)), limit)
        except IntegrityError:
            if folder.crc is not None or folder.coder(AES) is None or data[:1] == bytes([HEADER]):
                raise
        if folder.coder(AES) is None:
            raise IntegrityError(
                "the header of the archive is damaged",
                place=str(self._paths[-1]),
                hint="carry this volume again",
            )
        raise TrustError(
            "the password does not open the archive",
            place=str(self._paths[0]),
            hint="check the password; if it is right, the last volume is damaged: carry it again",
        )

    def _key(self, coder: Coder) -> bytes:
        if coder.properties not in self._keys:
            cycles, salt, _ = properties_of(coder.properties)
            self._keys[coder.properties] = derive(self._password(), salt, cycles)
        return self._keys[coder.properties]

    @contextmanager
    def _opened(self) -> Iterator[Source]:
        with ExitStack() as stack:
            yield _Joined([stack.enter_context(FileSource(path)) for path in self._paths])

    @contextmanager
    def open(self) -> Iterator[Source]:
        """Open the file inside, to be read at any place.

        Raises:
            IntegrityError: a volume is no longer there.
        """
        with self._opened() as whole:
            yield _Inside(whole, self._folder, self._coder, self._key(self._coder) if self._coder else b"")


def _volumes(path: Path) -> list[Path]:
    """Return the volumes of an archive in order, as far as they follow one another.

    Raises:
        IntegrityError: the first is not there.
    """
    match = _NUMBERED.fullmatch(path.name)
    if match is None:
        return [path]
    digits = len(match["number"])
    found: list[Path] = []
    while (one := path.with_name(f"{match['stem']}.{len(found) + 1:0{digits}d}")).is_file():
        found.append(one)
    if not found:
        raise _missing(path.with_name(f"{match['stem']}.{1:0{digits}d}"))
    return found


def _missing(path: Path) -> IntegrityError:
    return IntegrityError(
        "expected this volume of the archive, it is missing",
        place=str(path),
        hint="bring all volumes into one directory",
    )


class _Joined:
    """Volumes one behind the other."""

    def __init__(self, parts: Sequence[Source]) -> None:
        self.parts = parts
        self.name = parts[0].name
        self.size = sum(part.size for part in parts)

    def read_into(self, view: memoryview, offset: int) -> int:
        for part in self.parts:
            if offset < part.size:
                return part.read_into(view[: part.size - offset], offset)
            offset -= part.size
        return 0


def _read_header(whole: _Joined | Source) -> tuple[int, bytes]:
    """Return where the header begins and its bytes, checked against the CRC at the start of the archive."""
    start = read_at(whole, START_BYTES, 0)
    if len(start) != START_BYTES or not start.startswith(_MAGIC) or zlib.crc32(start[12:]) != _crc(start, 8):
        raise IntegrityError("expected a 7z archive, its start is damaged", place=whole.name, hint="carry it again")
    offset, size = struct.unpack_from("<QQ", start, 12)
    at = START_BYTES + offset
    _check_volumes(whole, at + size)
    if not 0 < size <= MOST_HEADER_BYTES:
        raise other("it is empty, or its header is too large")
    header = read_at(whole, size, at)
    if zlib.crc32(header) != _crc(start, 28):
        raise IntegrityError(
            "the header of the archive is damaged", place=_part_at(whole, at).name, hint="carry this volume again"
        )
    return at, header


def _crc(data: bytes, at: int) -> int:
    (value,) = struct.unpack_from("<I", data, at)
    return int(value)


def _part_at(whole: _Joined | Source, offset: int) -> Source:
    parts = whole.parts if isinstance(whole, _Joined) else [whole]
    for part in parts:
        if offset < part.size:
            return part
        offset -= part.size
    return parts[-1]


def _check_volumes(whole: _Joined | Source, expected: int) -> None:
    """Check that all volumes are there, each in its full size: all but the last have one size.

    Raises:
        IntegrityError: the volume that is not.
    """
    parts = list(whole.parts) if isinstance(whole, _Joined) else [whole]
    full = max(part.size for part in parts)
    for index, part in enumerate(parts):
        wanted = max(0, min(full, expected - index * full))
        if part.size != wanted:
            kind = "cut short" if part.size < wanted else "followed by other data"
            raise IntegrityError(
                f"expected {wanted} bytes, got {part.size}: the volume is {kind}",
                place=part.name,
                hint="carry this volume again",
            )
    if expected > whole.size:
        path = Path(parts[-1].name)
        match = _NUMBERED.fullmatch(path.name)
        if match is None:
            raise IntegrityError(
                f"expected {expected} bytes, got {whole.size}: the archive is cut short",
                place=whole.name,
                hint="carry it again",
            )
        raise _missing(path.with_name(f"{match['stem']}.{len(parts) + 1:0{len(match['number'])}d}"))


def _checked(folder: Folder, limit: int) -> Folder:
    if folder.offset + folder.packed_bytes > limit or min(folder.sizes) > folder.packed_bytes:
        raise other("a stream leads out of it")
    return folder


class _Inside:
    """The file inside, decrypted where it is read: a block needs nothing but the one before it."""

    def __init__(self, whole: Source, folder: Folder, coder: Coder | None, key: bytes) -> None:
        self.name = whole.name
        self.size = min(folder.sizes)
        self._whole, self._folder, self._key = whole, folder, key
        self._first = properties_of(coder.properties)[2] if coder else b""

    def read_into(self, view: memoryview, offset: int) -> int:
        count = max(0, min(len(view), self.size - offset))
        if not self._key:
            return self._whole.read_into(view[:count], self._folder.offset + offset)
        start = offset - offset % BLOCK
        length = -(-(offset + count - start) // BLOCK) * BLOCK
        before = self._first if start == 0 else read_at(self._whole, BLOCK, self._folder.offset + start - BLOCK)
        data = read_at(self._whole, length, self._folder.offset + start)
        if len(before) != BLOCK or len(data) != length:
            return 0
        plain = decrypt(self._key, before, data)[offset - start : offset - start + count]
        view[: len(plain)] = plain
        return len(plain)
