"""Every digest of a blob that a signed manifest names, in one pass."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bundler.model.descriptor import CHUNK_BYTES, OCTETS, Descriptor, chunk_count
from keystore import sm3

PIECE_BYTES = 1024 * 1024


class Chunks:
    """The SM3 of each 16 MiB of a stream."""

    def __init__(self) -> None:
        self._size = 0
        self._chunk = sm3.new()
        self._done: list[str] = []

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the stream."""
        view = memoryview(data)
        while view:
            piece = view[: CHUNK_BYTES - self._size % CHUNK_BYTES]
            self._chunk.update(piece)
            self._size += len(piece)
            view = view[len(piece) :]
            if self._size % CHUNK_BYTES == 0:
                self._cut()

    def _cut(self) -> None:
        self._done.append(self._chunk.hexdigest())
        self._chunk = sm3.new()

    def finish(self) -> tuple[str, ...]:
        """Return the digests; this object is used up."""
        if self._size % CHUNK_BYTES:
            self._cut()
        return tuple(self._done)


class Hasher:
    """SHA-256, SM3 and the SM3 of each chunk of a stream of unknown size. `size` counts its bytes."""

    def __init__(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._sm3 = sm3.new()
        self._first: tuple[str, ...] = ()
        self._chunks = Chunks()

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the stream."""
        view = memoryview(data)
        self._sha256.update(view)
        # The first chunk is the stream so far: it needs no hashing of its own.
        first = view[: max(0, CHUNK_BYTES - self.size)]
        self._sm3.update(first)
        self.size += len(first)
        if self.size == CHUNK_BYTES and first:
            self._first = (self._sm3.hexdigest(),)
        rest = view[len(first) :]
        self._sm3.update(rest)
        self._chunks.update(rest)
        self.size += len(rest)

    def hexdigest(self) -> str:
        """Return the SHA-256 of what was taken so far."""
        return self._sha256.hexdigest()

    def finish(self, media_type: str) -> Descriptor:
        """Return the descriptor of what was taken; the hasher is used up."""
        return Descriptor(
            media_type=media_type,
            size=self.size,
            sha256=self._sha256.hexdigest(),
            sm3=self._sm3.hexdigest(),
            chunks=(*self._first, *self._chunks.finish()) if chunk_count(self.size) else (),
        )


def describe_file(path: Path, size: int, advance: Callable[[int], None]) -> Descriptor:
    """Return the descriptor of a file of about `size` bytes, read once; a large one is hashed on two cores.

    Raises:
        OSError: it cannot be read.
    """
    whole, whole_sm3, chunks = hashlib.sha256(), sm3.new(), Chunks()
    chunked = chunk_count(size) > 0
    count = 0
    buffer = memoryview(bytearray(min(PIECE_BYTES, size + 1)))
    with path.open("rb", buffering=0) as stream, ThreadPoolExecutor(1) as beside:
        while got := stream.readinto(buffer):
            piece = buffer[:got]
            other = beside.submit(chunks.update, piece) if chunked else None
            whole.update(piece)
            whole_sm3.update(piece)
            if other is not None:
                other.result()
            count += got
            advance(got)
    return Descriptor(
        media_type=OCTETS,
        size=count,
        sha256=whole.hexdigest(),
        sm3=whole_sm3.hexdigest(),
        chunks=chunks.finish() if chunk_count(count) else (),
    )
