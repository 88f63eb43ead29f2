"""The bundle as a tar: every byte of it follows from the manifest, so nothing else can hide in it."""

from __future__ import annotations

import hashlib
import os
import queue
import tarfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bundler.errors import IntegrityError
from bundler.model.descriptor import MTIME
from bundler.model.manifest import FIXED_NAMES, HEAD_NAMES, Entry, Manifest
from bundler.model.volume import Part
from bundler.source import unreadable
from bundler.store import PIECE_BYTES

BLOCK = 512
END = bytes(2 * BLOCK)
_MIB = 1024 * 1024
# The envelope repeats what the items say of themselves, but nothing of the entries.
LARGEST_HEAD = dict(zip(HEAD_NAMES, (256 * _MIB, 1024, 256 * _MIB, 4 * _MIB), strict=True))
_QUEUED = 8
# What follows a head of three entries, in a bundle and in a volume.
_BEHIND_OLD_HEAD = (FIXED_NAMES[0], "volume.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """Where an entry's bytes, or a part of them, stand in the tar: header at `header`, data from `data` on."""

    part: Part
    header: int
    data: int

    @property
    def entry(self) -> Entry:
        """The entry that the bytes are of."""
        return self.part.entry


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The first four entries as they stand in the file, unchecked, and where the rest begins."""

    manifest: bytes
    signature: bytes
    envelope: bytes
    trust: bytes
    end: int

    def entries(self) -> tuple[tuple[str, bytes], ...]:
        """Return names and contents in their order."""
        return tuple(zip(HEAD_NAMES, (self.manifest, self.signature, self.envelope, self.trust), strict=True))


def header(name: str, size: int) -> bytes:
    """Return the one header block that a regular file of this name and size has in a bundle."""
    info = tarfile.TarInfo(name)
    info.size = size
    info.mode = 0o644
    info.mtime = MTIME
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "strict")


def padding(size: int) -> int:
    """Return how many zero bytes follow data of this size."""
    return -size % BLOCK


def spans(manifest: Manifest, start: int) -> Iterator[Span]:
    """Yield where each entry of the manifest must stand, from `start` (the end of the head) on."""
    yield from lay_out((Part(entry=entry, start=0, length=entry.size) for entry in manifest.entries), start)


def lay_out(parts: Iterable[Part], start: int) -> Iterator[Span]:
    """Yield where parts stand that follow one another from `start` on."""
    position = start
    for part in parts:
        yield Span(part=part, header=position, data=position + BLOCK)
        position += part.tar_bytes


def total_size(manifest: Manifest, start: int) -> int:
    """Return the exact size of the whole tar in bytes."""
    return start + sum(BLOCK + entry.size + padding(entry.size) for entry in manifest.entries) + len(END)


@contextmanager
def medium(stream: BinaryIO) -> Iterator[None]:
    """Tell of a medium that fails in the words of `unreadable`.

    Raises:
        IntegrityError, HostError: it cannot be read.
    """
    try:
        yield
    except OSError as error:
        raise unreadable(error, f'the head of "{file_name(stream)}"') from error


def file_name(stream: BinaryIO) -> str:
    """Return what the file of a stream is called."""
    return os.path.basename(str(getattr(stream, "name", "the bundle")))  # noqa: PTH119 (the name may be no path)


def read_head(stream: BinaryIO) -> Head:
    """Read the head of a bundle: a few kilobytes to a few megabytes, nothing behind it.

    Raises:
        IntegrityError: the file does not begin as a bundle does, or cannot be read.
        HostError: the medium is gone.
    """
    contents = []
    with medium(stream):
        for name in HEAD_NAMES:
            contents.append(_head_entry(stream, name))
        manifest, signature, envelope, trust = contents
        return Head(manifest=manifest, signature=signature, envelope=envelope, trust=trust, end=stream.tell())


def _head_entry(stream: BinaryIO, name: str) -> bytes:
    size = _size_of(stream.read(BLOCK), name)
    data = stream.read(size)
    if len(data) != size or stream.read(padding(size)) != bytes(padding(size)):
        raise IntegrityError(f'expected {size} bytes of "{name}", the file ends or goes on otherwise', place=name)
    return data


def head_places(stream: BinaryIO) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset and size of each entry of the head of a bundle.

    Raises:
        IntegrityError: the file does not begin as a bundle does.
    """
    position = 0
    for name in HEAD_NAMES:
        stream.seek(position)
        size = _size_of(stream.read(BLOCK), name)
        yield name, position + BLOCK, size
        position += BLOCK + size + padding(size)


def pack_head(contents: Iterable[tuple[str, bytes]]) -> bytes:
    """Return entries as they stand at the head of a bundle."""
    return b"".join(header(name, len(data)) + data + bytes(padding(len(data))) for name, data in contents)


def _size_of(block: bytes, name: str) -> int:
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, UnicodeDecodeError, ValueError) as error:
        raise IntegrityError(f'expected the entry "{name}", the file is not a bundle', place=name) from error
    if name == HEAD_NAMES[-1] and info.name in _BEHIND_OLD_HEAD:
        raise IntegrityError(
            f'expected the entry "{name}", got "{info.name}": an older Ferry made it, in format ferry/bundle/v1',
            place=name,
            hint="build it again with this Ferry: ferry build",
        )
    if info.name != name:
        raise IntegrityError(f'expected the entry "{name}", got {shown_name(info.name)}', place=name)
    if info.type != tarfile.REGTYPE:
        raise IntegrityError("expected a regular file, got another kind", place=name)
    if not 0 < info.size <= LARGEST_HEAD[name]:
        raise IntegrityError(f"expected 1 to {LARGEST_HEAD[name]} bytes, got {info.size}", place=name)
    if block != header(name, info.size):
        raise IntegrityError("expected a plain regular file, its header says more", place=name)
    return info.size


def is_header(block: bytes, span: Span) -> bool:
    """Say whether the block at an entry's place is its header, byte for byte."""
    return block == header(span.part.name, span.part.length)


def refused_header(block: bytes, span: Span, place: str) -> IntegrityError:
    """Return the error of a block that is not the header that it must be; the message says what it is."""
    name, size = span.part.name, span.part.length
    return IntegrityError(
        f"expected the header of a file of {size} bytes, got {_shown(block, name, size)}",
        place=place,
        hint="an entry is missing, added, renamed, of another size or kind: carry the bundle again",
    )


def _shown(block: bytes, name: str, size: int) -> str:
    if len(block) < BLOCK:
        return "the end of the file"
    if not any(block):
        return "the end of the archive"
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "replace")
    except (tarfile.HeaderError, ValueError):
        return "something that is no tar header"
    if (info.name, info.size, info.type) == (name, size, tarfile.REGTYPE):
        return "this name and size in another form, or with another owner, mode or time"
    kind = "" if info.type == tarfile.REGTYPE else ", not a regular file"
    return f"{shown_name(info.name)} ({info.size} bytes{kind})"


def shown_name(name: str) -> str:
    """Return a name out of a file that nobody believes yet, shortened, without what a terminal would obey."""
    printable = (one if one.isprintable() else one.encode("unicode_escape", "replace").decode() for one in name[:100])
    return f'"{"".join(printable)}"'


def pack(
    out: BinaryIO,
    head: Iterable[tuple[str, bytes]],
    entries: Iterable[tuple[Entry, bytes | Path]],
    advance: Callable[[int], None],
) -> None:
    """Write a bundle: the head, then every entry from memory or from its file, hashed once more on the way.

    Raises:
        IntegrityError: a file no longer has the bytes that the manifest promises.
    """
    out.write(pack_head(head))
    with _Checker() as checker:
        for entry, content in entries:
            out.write(header(entry.name, entry.size))
            written = 0
            checker.begin(entry)
            for piece in _pieces(content):
                checker.update(piece)
                out.write(piece)
                written += len(piece)
                advance(len(piece))
            if written != entry.size:
                raise _changed(entry)
            out.write(bytes(padding(entry.size)))
    out.write(END)


def _pieces(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb", buffering=0) as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_SEQUENTIAL)
        while piece := stream.read(PIECE_BYTES):
            yield piece


def _changed(entry: Entry) -> IntegrityError:
    return IntegrityError(
        f'the stored "{entry.name}" is damaged: it is not what the manifest promises',
        hint="run: ferry cache prune --check, then build again; it is fetched anew",
    )


class _Checker:
    """Hashes what is written in a second thread: SHA-256 against the manifest, a bounded queue between."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Entry | bytes | None] = queue.Queue(_QUEUED)
        self._bad: Entry | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def begin(self, entry: Entry) -> None:
        self._raise()
        self._queue.put(entry)

    def update(self, piece: bytes) -> None:
        self._queue.put(piece)

    def _raise(self) -> None:
        if self._bad is not None:
            raise _changed(self._bad)

    def _work(self) -> None:
        current: Entry | None = None
        digest = hashlib.sha256()
        while True:
            got = self._queue.get()
            if isinstance(got, bytes):
                digest.update(got)
                continue
            if current is not None and digest.hexdigest() != current.sha256 and self._bad is None:
                self._bad = current
            if got is None:
                return
            current, digest = got, hashlib.sha256()

    def __enter__(self) -> _Checker:
        self._thread.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if kind is None:
            self._raise()
