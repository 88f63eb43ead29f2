"""Raw deflate streams that one set of parameters of zlib makes again, byte for byte."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import NamedTuple

RAW = -15
PIECE_BYTES = 1024 * 1024
_FIRST_BYTES = 64 * 1024
# What `fingerprint` returns with the zlib of each Debian suite that runtimes are made of (1.2.11, 1.2.13, 1.3.1).
RUNTIME_FINGERPRINT = "2a232df6a893ae1b"
# Every size from one byte on is met early, so that a wrong guess ends early.
_SAMPLE_BYTES = 192 * 1024


class Parameters(NamedTuple):
    """How zlib makes a stream: the arguments of deflateInit2 that differ between writers."""

    level: int
    memory: int
    strategy: int

    def compressor(self) -> zlib._Compress:
        """Return a compressor of raw streams."""
        return zlib.compressobj(self.level, zlib.DEFLATED, RAW, self.memory, self.strategy)


# What writers of archives use, the commonest first: zipfile, gzip, pigz and their kin; Java and Info-ZIP take memory 9.
CANDIDATES = (
    Parameters(6, 8, 0),
    Parameters(9, 8, 0),
    Parameters(6, 9, 0),
    Parameters(9, 9, 0),
    *(Parameters(level, 8, 0) for level in (1, 2, 3, 4, 5, 7, 8)),
    *(Parameters(level, 9, 0) for level in (1, 2, 3, 4, 5, 7, 8)),
    *(Parameters(6, 8, strategy) for strategy in (1, 2, 3, 4)),
)


def inflate(stream: memoryview) -> Iterator[bytes]:
    """Yield what a raw stream holds, in pieces of at most 1 MiB.

    Raises:
        zlib.error: it is no stream, or ends before or behind these bytes.
    """
    inflater = Inflater()
    for start in range(0, len(stream), PIECE_BYTES):
        yield from inflater.take(stream[start : start + PIECE_BYTES])
    inflater.finish()


class Inflater:
    """Takes a raw stream in pieces."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(RAW)

    def take(self, data: bytes | memoryview) -> Iterator[bytes]:
        """Yield what the next bytes hold, in pieces of at most 1 MiB.

        Raises:
            zlib.error: they are not of a stream, or go on behind its end.
        """
        rest: bytes | memoryview = data
        while rest:
            if self._stream.eof:
                raise zlib.error("the stream ends before its bytes do")
            piece = self._stream.decompress(rest, PIECE_BYTES)
            if piece:
                yield piece
            rest = self._stream.unconsumed_tail or self._stream.unused_data
        while not self._stream.eof and (piece := self._stream.decompress(b"", PIECE_BYTES)):
            yield piece

    def finish(self) -> None:
        """Check that the stream is at its end.

        Raises:
            zlib.error: it is not.
        """
        if not self._stream.eof or self._stream.unused_data:
            raise zlib.error("the stream is cut off")


def find_parameters(stream: memoryview) -> Parameters | None:
    """Return the first parameters that make exactly these bytes again; None when none do.

    Raises:
        zlib.error: it is no stream.
    """
    return next((one for one in CANDIDATES if _makes(one, stream)), None)


def _makes(parameters: Parameters, stream: memoryview) -> bool:
    compressor, at = parameters.compressor(), 0
    for piece in _small_first(inflate(stream)):
        out = compressor.compress(piece)
        if out != stream[at : at + len(out)]:
            return False
        at += len(out)
    return compressor.flush() == stream[at:]


def _small_first(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Cut the first piece smaller: a wrong guess mostly shows within it."""
    for index, piece in enumerate(pieces):
        step = _FIRST_BYTES if index == 0 else len(piece)
        yield from (piece[start : start + step] for start in range(0, len(piece), step))


@cache
def fingerprint() -> str:
    """Return 16 hex digits that are equal where zlib makes the same bytes: a digest of a sample at every level."""
    words = hashlib.shake_128(b"ferry deflate").digest(_SAMPLE_BYTES // 8)
    sample = b"".join(words[at : at + 1 + words[at] % 13] + words[: words[at] % 7] for at in range(0, len(words), 2))
    digest = hashlib.sha256()
    for parameters in CANDIDATES:
        compressor = parameters.compressor()
        digest.update(compressor.compress(sample) + compressor.flush())
    return digest.hexdigest()[:16]
