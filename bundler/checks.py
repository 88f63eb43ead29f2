"""Every byte of a tar against the digests that a believed manifest promises, on all cores, in constant memory."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from bundler.archive import BLOCK, END, Span, check_header, padding
from bundler.errors import FerryError, IntegrityError
from bundler.model.descriptor import CHUNK_BYTES
from bundler.model.manifest import Entry, Manifest
from bundler.model.volume import Part
from bundler.source import Source, read_at, readable
from bundler.store import PIECE_BYTES
from keystore import sm3

_SHOWN = 5


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

    def __init__(self, source: Source, algorithm: str, reading: Reading) -> None:
        self._source = source
        self._algorithm = algorithm
        self._reading = reading
        self._errors: list[tuple[int, FerryError]] = []
        self._lock = threading.Lock()
        self._open_pieces: dict[int, int] = {}
        # The names of parts of which every byte was right, and which the sink therefore has.
        self.right: set[str] = set()

    def run(self, all_spans: Sequence[Span], end: int) -> None:
        """Check every span, and that the archive ends at `end`.

        Raises:
            IntegrityError: all that is damaged. A sink's own errors pass through.
        """
        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            try:
                for future in [pool.submit(self._guarded, job, at) for job, at in self._jobs(all_spans)]:
                    future.result()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
        if self._read(len(END), end) != END:
            self._errors.append((end, IntegrityError("expected the end of the archive", place=f"offset {end}")))
        self._raise()

    def _raise(self) -> None:
        if not self._errors:
            return
        found = [error for _, error in sorted(self._errors, key=lambda pair: pair[0])]
        if len(found) == 1:
            raise found[0]
        lines = "".join(f"\n  {error}" for error in found[:_SHOWN])
        more = f"\n  and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise IntegrityError(f"{len(found)} places are damaged:{lines}{more}", hint=found[0].hint)

    def _guarded(self, job: Callable[[], None], at: int) -> None:
        try:
            job()
        except IntegrityError as error:
            with self._lock:
                self._errors.append((at, error))

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
                check_header(self._read(BLOCK, span.header), span)
                rest = padding(part.length)
                if self._read(rest, span.data + part.length) != bytes(rest):
                    raise IntegrityError("expected zero padding", place=f'behind "{part.name}"')
            self._hash(span, piece)
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

    def _read(self, count: int, offset: int) -> bytes:
        with readable(f"offset {offset}"):
            return read_at(self._source, count, offset)

    def _hash(self, span: Span, piece: Piece) -> None:
        entry, start, length = span.entry, piece.start, piece.length
        at = span.data + start - span.part.start
        sink = self._reading.sink_for(entry)
        digest = piece.new_digest()
        buffer = memoryview(bytearray(min(PIECE_BYTES, length)))
        done = 0
        while done < length:
            view = buffer[: min(PIECE_BYTES, length - done)]
            with readable(f"offset {at + done}"):
                count = self._source.read_into(view, at + done)
            if count == 0:
                break
            digest.update(view[:count])
            if sink is not None:
                sink.write(entry, start + done, view[:count])
            self._reading.advance(count)
            done += count
        got = digest.hexdigest()
        if got != piece.digest:
            raise IntegrityError(
                f"expected {piece.algorithm} {piece.digest}, got {got}",
                place=f'"{entry.name}" at offset {at}',
                hint="the medium or the copy is damaged, or someone changed it: carry the bundle again",
            )
