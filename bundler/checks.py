"""Every byte of a tar against the digests that a believed manifest promises, on all cores, in constant memory."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bundler.archive import BLOCK, END, Span, is_header, padding, refused_header, shown_name
from bundler.errors import FerryError, IntegrityError
from bundler.model.descriptor import CHUNK_BYTES
from bundler.model.manifest import Entry, Manifest
from bundler.model.volume import Part
from bundler.source import Source, of_system, read_at, unreadable
from bundler.store import PIECE_BYTES
from keystore import sm3

_DAMAGED = "the medium or the copy is damaged, or someone changed it: carry the bundle again"


class Sink(Protocol):
    """Where the bytes of entries go while they are checked; a place counts only after `finish`."""

    def write(self, entry: Entry, offset: int, data: memoryview) -> None:
        """Take bytes of an entry at an offset; several threads call at once, each for its own part."""

    def finish(self, entry: Entry, count: int) -> None:
        """`count` more bytes of this entry came and are right; a whole entry comes at once, or volume by volume."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """Who takes part while a bundle is read.

    `started` hears of the manifest once it is believed, before the rest is read; `advance` hears of bytes read, from
    any thread; `sink` takes the entries that are `wanted`.
    """

    sink: Sink | None = None
    wanted: Callable[[Entry], bool] = lambda entry: True
    advance: Callable[[int], None] = lambda count: None
    started: Callable[[Manifest], None] = lambda manifest: None

    def sink_for(self, entry: Entry) -> Sink | None:
        """Return who takes this entry."""
        return self.sink if self.sink is not None and self.wanted(entry) else None


class Digest(Protocol):
    """A digest that grows."""

    def update(self, data: memoryview, /) -> None:
        """Take the next bytes."""

    def hexdigest(self) -> str:
        """Return the digest of the bytes so far in hex."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """Bytes of an entry that have a digest of their own: `length` of them from `start` on."""

    start: int
    length: int
    algorithm: str
    digest: str

    def new_digest(self) -> Digest:
        """Return an empty digest of the algorithm."""
        return sm3.new() if self.algorithm == "sm3" else hashlib.sha256()


def pieces_of(part: Part, algorithm: str) -> Iterator[Piece]:
    """Yield all that has a digest of its own in a part of an entry; chunks have SM3 alone."""
    entry = part.entry
    is_whole = part.length == entry.size
    if is_whole and not (entry.chunks and algorithm == "sm3"):
        digest = entry.sm3 if algorithm == "sm3" else entry.sha256
        yield Piece(start=0, length=entry.size, algorithm=algorithm, digest=digest)
        return
    for start in range(part.start, part.start + part.length, CHUNK_BYTES):
        length = min(CHUNK_BYTES, entry.size - start)
        yield Piece(start=start, length=length, algorithm="sm3", digest=entry.chunks[start // CHUNK_BYTES])


class Checks:
    """Checks what stands in a tar on all cores: one piece of work per entry, one per chunk of a large entry."""

    def __init__(self, source: Source, manifest: Manifest, algorithm: str, reading: Reading) -> None:
        self._source = source
        self._file = Path(source.name).name
        self._manifest = manifest
        self._algorithm = algorithm
        self._reading = reading
        self._errors: list[tuple[int, FerryError]] = []
        self._lock = threading.Lock()
        self._is_over = False
        self._open_pieces: dict[int, int] = {}
        # The names of parts of which every byte was right, and which the sink therefore has.
        self.right: set[str] = set()

    def run(self, all_spans: Sequence[Span], end: int) -> None:
        """Check every span, and that the archive ends at `end`.

        Raises:
            IntegrityError: all that is damaged. A sink's own errors pass through.
            HostError: the medium is gone.
        """
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            try:
                for future in [pool.submit(self._guarded, job, at) for job, at in self._jobs(all_spans)]:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        self._guarded(lambda: self._check_end(end), end)
        self._raise()

    def _check_end(self, end: int) -> None:
        if self._read(len(END), end) != END:
            raise IntegrityError("expected the end of the archive", place=self._place(None, end), hint=_DAMAGED)

    def _place(self, span: Span | None, offset: int) -> str:
        """Say what stands at an offset: the entry, whose it is, where in it, and in which file of the medium."""
        if span is None:
            return f'offset {offset} of "{self._file}"'
        # Only damage asks, so that nobody keeps a table of items.
        carried = [item for item in self._manifest.items if item.descriptor.sha256 == span.entry.sha256]
        more = f" and {len(carried) - 1} more" if len(carried) > 1 else ""
        item = f" ({carried[0].kind} {shown_name(carried[0].name)}{more})" if carried else ""
        inside = offset - span.data + span.part.start
        start = f" from byte {inside} on" if offset >= span.data and 0 < inside < span.entry.size else ""
        return f'"{span.entry.name}"{item}{start} at offset {offset} of "{self._file}"'

    def _raise(self) -> None:
        if not self._errors:
            return
        found = [error for _, error in sorted(self._errors, key=lambda pair: pair[0])]
        if len(found) == 1:
            raise found[0]
        lines = "".join(f"\n  {error}" for error in found)
        cause = next(filter(of_system, found), None)
        raise IntegrityError(f"{len(found)} places are damaged:{lines}", hint=found[0].hint) from cause

    def _guarded(self, job: Callable[[], None], at: int) -> None:
        """Note damage and go on; after any other error nothing more is begun."""
        if self._is_over:
            return
        try:
            job()
        except IntegrityError as error:
            with self._lock:
                self._errors.append((at, error))
        except BaseException:
            self._is_over = True
            raise

    def _jobs(self, all_spans: Sequence[Span]) -> Iterator[tuple[Callable[[], None], int]]:
        for span in all_spans:
            pieces = list(pieces_of(span.part, self._algorithm))
            self._open_pieces[span.header] = len(pieces)
            yield self._piece(span, pieces[0]), span.header
            for piece in pieces[1:]:
                yield self._piece(span, piece), span.data + piece.start - span.part.start

    def _piece(self, span: Span, piece: Piece) -> Callable[[], None]:
        part = span.part

        def job() -> None:
            if piece.start == part.start:
                self._check_frame(span)
            try:
                self._hash(span, piece, self._reading)
            except IntegrityError:
                if self._note_damaged_chunks(span, piece):
                    return
                raise
            with self._lock:
                self._open_pieces[span.header] -= 1
                last = self._open_pieces[span.header] == 0
            if not last:
                return
            if (sink := self._reading.sink_for(span.entry)) is not None:
                sink.finish(part.entry, part.length)
            with self._lock:
                self.right.add(part.name)

        return job

    def _check_frame(self, span: Span) -> None:
        """Check what stands around the data."""
        block = self._read(BLOCK, span.header, span)
        if not is_header(block, span):
            raise refused_header(block, span, self._place(span, span.header))
        count, at = padding(span.part.length), span.data + span.part.length
        if self._read(count, at, span) != bytes(count):
            raise IntegrityError(
                f"expected zero padding of {count} bytes, got other bytes", place=self._place(span, at), hint=_DAMAGED
            )

    def _note_damaged_chunks(self, span: Span, piece: Piece) -> bool:
        """Look once more where in a large blob the damage is that was hashed as a whole; say whether it was found."""
        if piece.algorithm == "sm3" or not span.entry.chunks:
            return False
        found: list[tuple[int, FerryError]] = []
        for chunk in pieces_of(span.part, "sm3"):
            try:
                self._hash(span, chunk, Reading())
            except IntegrityError as error:
                found.append((span.data + chunk.start - span.part.start, error))
        with self._lock:
            self._errors += found
        return bool(found)

    def _hash(self, span: Span, piece: Piece, reading: Reading) -> None:
        entry, start, length = span.entry, piece.start, piece.length
        at = span.data + start - span.part.start
        sink = reading.sink_for(entry)
        digest = piece.new_digest()
        buffer = memoryview(bytearray(min(PIECE_BYTES, length)))
        done = 0
        while done < length:
            view = buffer[: min(PIECE_BYTES, length - done)]
            try:
                count = self._source.read_into(view, at + done)
            except OSError as error:
                raise unreadable(error, self._place(span, at + done)) from error
            if count == 0:
                break
            digest.update(view[:count])
            if sink is not None:
                sink.write(entry, start + done, view[:count])
            reading.advance(count)
            done += count
        got = digest.hexdigest()
        if done < length:
            raise IntegrityError(
                f"expected {length} bytes, the file ended after {done}: it was cut short while it was read",
                place=self._place(span, at),
                hint="leave the medium alone and run the same command again",
            )
        if got != piece.digest:
            raise IntegrityError(
                f"expected {piece.algorithm} {piece.digest}, got {got}",
                place=self._place(span, at),
                hint=_DAMAGED,
            )

    def _read(self, count: int, offset: int, span: Span | None = None) -> bytes:
        try:
            return read_at(self._source, count, offset)
        except OSError as error:
            raise unreadable(error, self._place(span, offset)) from error
