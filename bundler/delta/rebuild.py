"""A blob made again out of another one and a patch, in one pass over both and in bounded memory.

One base is read once from its beginning: no more than 25 MiB of it, twice the 16 MiB that a frame looks at, the frame's
4 MiB and 20 MiB that wait to be deflated are held at a time.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import BinaryIO

from backports import zstd

from bundler.delta.deflate import PIECE_BYTES, Inflater, Parameters
from bundler.delta.format import BACK_BYTES, WINDOW_LOG, Header, Read, Segment, Write, read_header
from bundler.errors import IntegrityError

# Streams up to this size are deflated beside each other; the plain bytes that wait for it are bounded.
_BESIDE_BYTES = 4 * 1024 * 1024
_LEAST_BESIDE_BYTES = 64 * 1024
_MOST_WAITING_BYTES = 16 * 1024 * 1024


def rebuild(patch: Path, base: Path, write: Callable[[bytes], object], pool: Executor) -> None:
    """Write the result of a patch piece by piece; digests of patch and base were checked, the result's are not.

    Raises:
        IntegrityError: patch and base do not fit.
        OSError: one cannot be read. What `write` raises passes through.
    """
    with patch.open("rb") as stream, base.open("rb", buffering=0) as base_stream:
        header = read_header(stream)
        out = _Writer(header.writes, write, pool)
        try:
            for piece in _plain_result(header, stream, base_stream):
                out.take(piece)
            out.finish()
        except (zlib.error, zstd.ZstdError, ValueError) as error:
            raise IntegrityError(f"the patch does not fit its base: {error}") from error


def _plain_result(header: Header, stream: BinaryIO, base: BinaryIO) -> Iterator[bytes]:
    window = _Window(_plain_base(base, header.reads))
    for segment in header.segments:
        prefix = window.take(segment.base_start, segment.base_length)
        yield prefix if segment.frame == 0 else _unpacked(stream.read(segment.frame), prefix, segment)


def _unpacked(frame: bytes, prefix: bytes, segment: Segment) -> bytes:
    unpacker = zstd.ZstdDecompressor(
        zstd_dict=zstd.ZstdDict(prefix, is_raw=True).as_prefix if prefix else None,
        options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG},
    )
    data = unpacker.decompress(frame, max_length=segment.length)
    if len(data) != segment.length or not unpacker.eof:
        raise IntegrityError(f"the patch does not fit its base: {len(data)} of {segment.length} bytes came of a frame")
    return data


def _plain_base(stream: BinaryIO, reads: Sequence[Read]) -> Iterator[bytes]:
    for one in reads:
        inflater = Inflater() if one.inflated else None
        left = one.length
        while left:
            piece = stream.read(min(PIECE_BYTES, left))
            if not piece:
                raise IntegrityError("the patch does not fit its base: the base ends early")
            left -= len(piece)
            if inflater is None:
                yield piece
            else:
                yield from inflater.take(piece)
        if inflater is not None:
            inflater.finish()


class _Window:
    """The plain bytes of a base around the place where a patch is."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._start = 0
        self._held = bytearray()

    def take(self, start: int, length: int) -> bytes:
        """Return `length` bytes from `start` on; far ahead, nothing between is kept."""
        self._forget(start - BACK_BYTES)
        while self._start + len(self._held) < start + length:
            piece = next(self._pieces, None)
            if piece is None:
                raise IntegrityError("the patch does not fit its base: the base ends early")
            self._held += piece
            self._forget(start - BACK_BYTES)
        at = start - self._start
        return bytes(memoryview(self._held)[at : at + length])

    def _forget(self, before: int) -> None:
        count = min(before - self._start, len(self._held))
        if count > 0:
            del self._held[:count]
            self._start += count


class _Writer:
    """Takes the plain result in any pieces, deflates what must be, and writes it in its order."""

    def __init__(self, writes: Sequence[Write], write: Callable[[bytes], object], pool: Executor) -> None:
        self._writes = iter(writes)
        self._write = write
        self._pool = pool
        self._left = 0
        self._kept: bytearray | None = None
        self._compressor: zlib._Compress | None = None
        self._parameters: Parameters | None = None
        self._waiting: deque[tuple[bytes | Future[bytes], int]] = deque()
        self._waiting_bytes = 0

    def take(self, data: bytes) -> None:
        """Take the next plain bytes."""
        view = memoryview(data)
        while view:
            if self._left == 0:
                self._begin()
                continue
            piece = view[: self._left]
            view = view[len(piece) :]
            self._left -= len(piece)
            self._piece(bytes(piece))
            if self._left == 0:
                self._end()

    def finish(self) -> None:
        """Write all that waits."""
        while (following := next(self._writes, None)) is not None:
            self._start(following)
            self._end()
        self._drain(0)

    def _begin(self) -> None:
        following = next(self._writes, None)
        if following is None:
            raise IntegrityError("the patch does not fit its base: too much came of it")
        self._start(following)
        if self._left == 0:
            self._end()

    def _start(self, one: Write) -> None:
        self._left, self._parameters = one.length, one.parameters
        self._kept = self._compressor = None
        if one.parameters is None:
            return
        if one.length <= _BESIDE_BYTES:
            self._kept = bytearray()
        else:
            self._compressor = one.parameters.compressor()

    def _piece(self, piece: bytes) -> None:
        if self._kept is not None:
            self._kept += piece
        elif self._compressor is not None:
            self._put(self._compressor.compress(piece))
        else:
            self._put(piece)

    def _end(self) -> None:
        if self._kept is not None and self._parameters is not None:
            data = bytes(self._kept)
            if len(data) < _LEAST_BESIDE_BYTES:
                self._put(_deflated(self._parameters, data))
            else:
                self._wait(self._pool.submit(_deflated, self._parameters, data), len(data))
        elif self._compressor is not None:
            self._put(self._compressor.flush())
        self._kept = self._compressor = self._parameters = None

    def _put(self, data: bytes) -> None:
        if self._waiting:
            self._wait(data, len(data))
        elif data:
            self._write(data)

    def _wait(self, one: bytes | Future[bytes], size: int) -> None:
        self._waiting.append((one, size))
        self._waiting_bytes += size
        self._drain(_MOST_WAITING_BYTES)

    def _drain(self, most: int) -> None:
        while self._waiting and (self._waiting_bytes > most or most == 0):
            one, size = self._waiting.popleft()
            self._write(one.result() if isinstance(one, Future) else one)
            self._waiting_bytes -= size


def _deflated(parameters: Parameters, data: bytes) -> bytes:
    compressor = parameters.compressor()
    return compressor.compress(data) + compressor.flush()
