"""What the rules find in one file, wheel or layer: bounded in memory, whatever the bytes are."""

from __future__ import annotations

import gzip
import json
import lzma
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import BinaryIO, Protocol, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile

from backports import zstd

from bundler.scan.kinds import JSON, form_of, is_aside, is_read, is_system, package_at
from bundler.scan.rules import LIBRARY, OWN, RUN, SCRIPT, SHELL, SYSTEM, Rules
from bundler.scan.text import Hit, scan_mcp, scan_text

# What is read of one file; what follows is data, not a program.
_FILE_BYTES = 4 * 1024 * 1024
# A blob may grow this much, or to this size.
_MOST_RATIO, _MOST_BYTES = 100, 1 << 30
_WINDOW_LOG = 27
_HEADER_BYTES = 1024 * 1024
_MOST_FOUND = 500
_GZIP, _ZSTD, _ZSTD_SKIPPED = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\x2a\x4d\x18"
# OCI Image Format Specification 1.1, layers: whiteouts.
_WHITEOUT, _OPAQUE = ".wh.", ".wh..wh..opq"
_BROKEN = (
    *(tarfile.TarError, BadZipFile, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, zstd.ZstdError),
    *(
        OSError,
        ValueError,
        OverflowError,
        NotImplementedError,
        RuntimeError,
        IndexError,
        KeyError,
        struct.error,
        MemoryError,
    ),
)


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A rule met in a blob: who runs it, in which file, first at which line, what stands there, and how often."""

    rule: str
    surface: str
    path: str
    line: int
    found: str
    count: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Scanned:
    """What is known of a blob: what was found, packages that fetch on demand, variables that are named, paths removed.

    `problem` says why the rest is not known, if it is not.
    """

    found: tuple[Found, ...] = ()
    packages: tuple[str, ...] = ()
    variables: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    problem: str = ""

    def facts(self) -> dict[str, str]:
        """Return what a store remembers of it."""
        return {"scanned": json.dumps(asdict(self))}

    @staticmethod
    def from_facts(facts: dict[str, str]) -> Scanned:
        """Return what a store remembers."""
        given = json.loads(facts["scanned"])
        return Scanned(
            found=tuple(Found(**one) for one in given["found"]),
            packages=tuple(given["packages"]),
            variables=tuple(given["variables"]),
            gone=tuple(given["gone"]),
            problem=given["problem"],
        )


class _TooLargeError(Exception):
    """It grows beyond reason."""


class _Bounded:
    """A stream that ends the work when it gives more than `limit` bytes."""

    def __init__(self, stream: _Readable, limit: int) -> None:
        self._stream = stream
        self._left = limit

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise _TooLargeError
        return data


class _Member(tarfile.TarInfo):
    """A member whose extended headers are of a size that anyone needs."""

    def _proc_member(self, tarfile_: tarfile.TarFile) -> tarfile.TarInfo:
        extended = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)
        if self.type in (*extended, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK) and self.size > _HEADER_BYTES:
            raise tarfile.ReadError(f"an extended header of {self.size} bytes")
        return cast(tarfile.TarInfo, super()._proc_member(tarfile_))  # type: ignore[misc]


def scan_wheel(stream: BinaryIO, size: int, rules: Rules) -> Scanned:
    """Look into a wheel."""
    return _collected(_wheel(stream, _limit(size), rules))


def scan_layer(stream: BinaryIO, size: int, rules: Rules) -> Scanned:
    """Look into a layer of an image, plain or compressed."""
    return _collected(_layer(stream, _limit(size), rules))


def scan_file(stream: BinaryIO, path: str, rules: Rules) -> Scanned:
    """Look into a file of a recipe, which is its author's own."""
    data = stream.read(_FILE_BYTES) if is_read(path) else b""
    named = [f"${name}" for name in sorted(rules.variables) if name.encode() in data]
    return _collected(iter([*_file(path, data, rules, ""), *named]))


def _limit(size: int) -> int:
    return max(_MOST_BYTES, size * _MOST_RATIO)


def _collected(pieces: Iterator[Found | str]) -> Scanned:
    """Gather what is found, library code by rule; a text is a package (=), a variable ($) or a path removed (-)."""
    found: dict[tuple[str, ...], Found] = {}
    names: dict[str, None] = {}
    problem = ""
    try:
        for piece in pieces:
            if isinstance(piece, str):
                names[piece] = None
                continue
            key = (piece.rule, piece.surface) if piece.surface == LIBRARY else (piece.rule, piece.surface, piece.path)
            before = found.get(key)
            if before is None and len(found) >= _MOST_FOUND:
                problem = f"more than {_MOST_FOUND} findings"
                break
            found[key] = piece if before is None else _again(before)
    except _TooLargeError:
        problem = "it unpacks to more than a hundred times its size"
    except _BROKEN as error:
        problem = f"{type(error).__name__}: {error}"[:200]
    return Scanned(
        found=tuple(found.values()),
        packages=_marked(names, "="),
        variables=_marked(names, "$"),
        gone=_marked(names, "-"),
        problem="".join(one if one.isprintable() else "?" for one in problem),
    )


def _marked(names: Iterable[str], mark: str) -> tuple[str, ...]:
    return tuple(name[1:] for name in names if name.startswith(mark))


def _again(before: Found) -> Found:
    return replace(before, count=before.count + 1)


def _file(path: str, data: bytes, rules: Rules, surface: str) -> list[Found]:
    """Return what a file holds; without a surface its form says who runs it."""
    form = form_of(path, data)
    if form is None:
        return []
    if form == JSON:
        hits, who = scan_mcp(data, rules), RUN
    else:
        hits, who = scan_text(data, form, rules), SCRIPT if form == SHELL else OWN
    # Only a script of the system's directories is something that an image may start by its name.
    if surface == SYSTEM and form != SHELL:
        surface = LIBRARY
    return [_found(hit, path, surface or who) for hit in hits]


def _found(hit: Hit, path: str, surface: str) -> Found:
    return Found(rule=hit.rule, surface=surface, path=path, line=hit.line, found=hit.found)


def _wheel(stream: BinaryIO, limit: int, rules: Rules) -> Iterator[Found | str]:
    with ZipFile(stream) as archive:
        for member in archive.infolist():
            if not is_read(member.filename) or is_aside(member.filename):
                continue
            if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
                raise NotImplementedError(f"compression {member.compress_type} of a member")
            with archive.open(member) as content:
                data = content.read(_FILE_BYTES)
            limit -= len(data)
            if limit < 0:
                raise _TooLargeError
            yield from _file(member.filename, data, rules, LIBRARY)


def _layer(stream: BinaryIO, limit: int, rules: Rules) -> Iterator[Found | str]:
    plain = cast(BinaryIO, _Bounded(_plain(stream), limit))
    with tarfile.open(fileobj=plain, mode="r|", tarinfo=_Member) as tar:
        while (member := tar.next()) is not None:
            # A layer of millions of files must not fill the memory.
            tar.members.clear()  # type: ignore[attr-defined]
            yield from _member(tar, member, rules)


def _plain(stream: BinaryIO) -> _Readable:
    """Return the tar inside, as its first bytes tell."""
    magic = stream.read(4)
    stream.seek(0)
    if magic.startswith(_GZIP):
        return gzip.GzipFile(fileobj=stream)
    if magic.startswith(_ZSTD) or magic[1:] == _ZSTD_SKIPPED:
        return zstd.ZstdFile(stream, options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
    return stream


def _member(tar: tarfile.TarFile, member: tarfile.TarInfo, rules: Rules) -> Iterator[Found | str]:
    path = member.name.removeprefix("./").lstrip("/")
    folder, _, name = path.rpartition("/")
    if name == _OPAQUE:
        yield f"-{folder}/"
    elif name.startswith(_WHITEOUT):
        yield "-" + f"{folder}/{name.removeprefix(_WHITEOUT)}".lstrip("/")
    elif (package := package_at(path)) in rules.packages:
        yield f"={package}"
    if not member.isreg() or member.issparse() or not is_read(path) or is_aside(path):
        return
    content = tar.extractfile(member)
    assert content is not None
    yield from _file(path, content.read(_FILE_BYTES), rules, SYSTEM if is_system(path) else "")
