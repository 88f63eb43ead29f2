"""What a pull asks for: of every entry the bytes that one request brings, with the digests that prove them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from bundler.archive import Span
from bundler.checks import Piece, pieces_of
from bundler.model.manifest import Entry

# A large blob comes over several connections in runs of this size: whole chunks, each with its own digest.
_RUN_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Pieces of an entry that follow one another; the first byte belongs at `at` of the bundle's file."""

    entry: Entry
    at: int
    pieces: tuple[Piece, ...]

    @property
    def start(self) -> int:
        """Where it begins in the entry."""
        return self.pieces[0].start

    @property
    def length(self) -> int:
        """How many bytes it is long."""
        return sum(piece.length for piece in self.pieces)


def plan(spans: Iterable[Span], algorithm: str, *, run_bytes: int = _RUN_BYTES) -> Iterator[Run]:
    """Yield the runs of all entries; only what has digests of its own can be brought by itself."""
    for span in spans:
        taken: list[Piece] = []
        for piece in pieces_of(span.part, algorithm):
            if taken and piece.start + piece.length - taken[0].start > run_bytes:
                yield _run(span, taken)
                taken = []
            taken.append(piece)
        yield _run(span, taken)


def _run(span: Span, pieces: list[Piece]) -> Run:
    return Run(entry=span.entry, at=span.data + pieces[0].start, pieces=tuple(pieces))
