"""The content store: an OCI image layout whose blobs are only ever complete and checked."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from bundler.errors import IntegrityError
from bundler.model.descriptor import CHUNK_BYTES, Descriptor, chunk_count
from keystore import sm3

PIECE_BYTES = 1024 * 1024
OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}\n'
_HEX = re.compile("[0-9a-f]{64}")


class Hasher:
    """SHA-256, SM3 and the SM3 of each chunk of a stream, in one pass. `size` counts its bytes.

    With an expected size that needs no chunks they are left out, which saves a third of the work.
    """

    def __init__(self, expected_size: int | None = None) -> None:
        self.size = 0
        self._chunked = expected_size is None or chunk_count(expected_size) > 0
        self._sha256 = hashlib.sha256()
        self._sm3 = sm3.new()
        self._chunk = sm3.new()
        self._chunks: list[str] = []

    @property
    def sha256(self) -> str:
        """The SHA-256, in hex, of what was taken so far."""
        return self._sha256.hexdigest()

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the stream."""
        self._sha256.update(data)
        if not self._chunked:
            self._sm3.update(data)
            self.size += len(data)
            return
        view = memoryview(data)
        while view:
            piece = view[: CHUNK_BYTES - self.size % CHUNK_BYTES]
            self._sm3.update(piece)
            # The first chunk is the stream so far: it needs no hashing of its own.
            if self.size >= CHUNK_BYTES:
                self._chunk.update(piece)
            self.size += len(piece)
            view = view[len(piece) :]
            if self.size % CHUNK_BYTES == 0:
                self._cut()

    def _cut(self) -> None:
        first = self.size <= CHUNK_BYTES
        self._chunks.append(self._sm3.copy().hexdigest() if first else self._chunk.hexdigest())
        self._chunk = sm3.new()

    def finish(self, media_type: str) -> Descriptor:
        """Return the descriptor of what was taken; the hasher is used up."""
        if self._chunked and self.size % CHUNK_BYTES:
            self._cut()
        return Descriptor(
            media_type=media_type,
            size=self.size,
            sha256=self._sha256.hexdigest(),
            sm3=self._sm3.hexdigest(),
            chunks=tuple(self._chunks) if chunk_count(self.size) else (),
        )


def describe_bytes(data: bytes, media_type: str) -> Descriptor:
    """Return the descriptor of bytes in memory."""
    hasher = Hasher()
    hasher.update(data)
    return hasher.finish(media_type)


class BlobWriter:
    """A blob being written: a temporary file beside its final place, renamed when its digest is right."""

    def __init__(self, store: Store, part: Path, *, resume: bool = False, expected_size: int | None = None) -> None:
        self._store = store
        self._part = part
        self._expected_size = expected_size
        self._hasher = Hasher(expected_size)
        # Another process may be writing this very file: nothing is cut off before it is known to be ours.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | (0 if resume else os.O_EXCL)
        self._stream: BinaryIO = os.fdopen(os.open(part, flags, 0o644), "r+b")
        self.alone = self._lock()
        if resume and self.alone:
            for piece in iter(lambda: self._stream.read(PIECE_BYTES), b""):
                self._hasher.update(piece)

    @property
    def size(self) -> int:
        """How many bytes are written so far."""
        return self._hasher.size

    def holds(self, sha256: str, size: int) -> bool:
        """Say whether what is written so far is the blob of this digest and size."""
        return self._hasher.size == size and self._hasher.sha256 == sha256

    def _lock(self) -> bool:
        """Take the file for this writer; say whether no other one has it or had it and finished."""
        try:
            fcntl.flock(self._stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(self._stream.fileno()), self._part.stat())
        except (BlockingIOError, FileNotFoundError):
            return False

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes."""
        self._hasher.update(data)
        return self._stream.write(data)

    def restart(self) -> None:
        """Forget what is written."""
        self._stream.seek(0)
        self._stream.truncate()
        self._hasher = Hasher(self._expected_size)

    def commit(self, media_type: str, *, sha256: str | None = None, size: int | None = None) -> Descriptor:
        """Check, sync and rename; return the descriptor.

        Raises:
            IntegrityError: the bytes are not those of `sha256` and `size`; nothing is kept.
        """
        descriptor = self._hasher.finish(media_type)
        if (sha256 is not None and descriptor.sha256 != sha256) or (size is not None and descriptor.size != size):
            self.discard()
            raise IntegrityError(
                f"expected {size} bytes with sha256 {sha256}, got {descriptor.size} bytes with {descriptor.sha256}"
            )
        self._stream.flush()
        os.fsync(self._stream.fileno())
        # The lock goes with the stream, so that nobody takes up the part before it is renamed.
        self._store.adopt(self._part, descriptor)
        self._stream.close()
        return descriptor

    def keep(self) -> None:
        """Close without finishing; a later writer may resume."""
        self._stream.close()

    def discard(self) -> None:
        """Remove, then close: the lock goes with the stream."""
        self._part.unlink(missing_ok=True)
        self._stream.close()

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if not self._stream.closed:
            self.discard()


class Store:
    """Blobs by SHA-256 below `root/blobs/sha256`, with what else is known of each below `root/known`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("blobs/sha256", "known", "derived", "parts"):
            (root / name).mkdir(parents=True, exist_ok=True, mode=0o755)
        layout = root / "oci-layout"
        if not layout.exists():
            write_file(layout, OCI_LAYOUT)

    def path(self, sha256: str) -> Path:
        """Return where a blob stands, whether or not it is there."""
        return self.root / "blobs/sha256" / sha256

    def has(self, sha256: str, size: int | None = None) -> bool:
        """Say whether a blob is there (with the size that is expected)."""
        try:
            found = self.path(sha256).stat().st_size
        except FileNotFoundError:
            return False
        return size is None or found == size

    def writer(self, size: int | None = None) -> BlobWriter:
        """Start a blob whose digest is not yet known (and perhaps its size)."""
        return BlobWriter(self, self.root / "parts" / f"{os.getpid()}-{secrets.token_hex(8)}", expected_size=size)

    def resume(self, sha256: str, size: int | None = None) -> BlobWriter:
        """Start or go on with a blob that is known by its digest (and size); one process at a time goes on."""
        part = self.root / "parts" / f"{sha256}.part"
        writer = BlobWriter(self, part, resume=True, expected_size=size)
        if writer.alone:
            return writer
        writer.keep()
        return self.writer()

    def put(self, data: bytes, media_type: str) -> Descriptor:
        """Store bytes."""
        with self.writer() as writer:
            writer.write(data)
            return writer.commit(media_type)

    def put_stream(self, stream: BinaryIO, media_type: str) -> Descriptor:
        """Store what a stream holds, piece by piece."""
        with self.writer() as writer:
            while piece := stream.read(PIECE_BYTES):
                writer.write(piece)
            return writer.commit(media_type)

    def read(self, sha256: str) -> bytes:
        """Return a small blob whole."""
        return self.path(sha256).read_bytes()

    def adopt(self, part: Path, descriptor: Descriptor) -> None:
        """Take over a complete, checked and synced file as a blob."""
        known = {"sm3": descriptor.sm3, "size": descriptor.size, "chunks": list(descriptor.chunks)}
        write_file(self.root / "known" / descriptor.sha256, json.dumps(known).encode())
        part.chmod(0o644)
        part.replace(self.path(descriptor.sha256))
        _sync_directory(self.path(descriptor.sha256).parent)

    def describe(self, sha256: str, media_type: str) -> Descriptor:
        """Return the descriptor of a blob that is there, as it was recorded when it came in.

        Raises:
            IntegrityError: the blob is not there, or its record does not fit it.
        """
        try:
            known = json.loads((self.root / "known" / sha256).read_bytes())
            size, sm3, chunks = int(known["size"]), str(known["sm3"]), tuple(map(str, known["chunks"]))
            actual = self.path(sha256).stat().st_size
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise self._damaged(sha256, "its record cannot be read") from error
        if len(chunks) != chunk_count(size) or not all(_HEX.fullmatch(text) for text in (sm3, *chunks)):
            raise self._damaged(sha256, "its record holds no digests")
        if actual != size:
            raise self._damaged(sha256, f"expected {size} bytes, got {actual}")
        return Descriptor(media_type=media_type, size=size, sha256=sha256, sm3=sm3, chunks=chunks)

    def _damaged(self, sha256: str, why: str) -> IntegrityError:
        return IntegrityError(
            f"the stored blob {sha256} is damaged: {why}",
            place=str(self.path(sha256)),
            hint="delete it and run the command again; it is fetched anew",
        )

    def remember(self, key: str, facts: dict[str, str]) -> None:
        """Keep what was found out for `key` (a digest of everything it follows from)."""
        write_file(self.root / "derived" / key, json.dumps(facts, sort_keys=True).encode())

    def remembered(self, key: str) -> dict[str, str] | None:
        """Return what is kept for `key`; a fact called `blob` counts only while that blob is there."""
        try:
            facts = json.loads((self.root / "derived" / key).read_bytes())
        except (FileNotFoundError, ValueError, RecursionError):
            return None
        if not isinstance(facts, dict) or ("blob" in facts and not self.has(str(facts["blob"]))):
            return None
        return {str(name): str(value) for name, value in facts.items()}


def derivation_key(*parts: str) -> str:
    """Return the key of something made from `parts` and nothing else."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def write_file(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a whole file so that a crash leaves the old one or the new one, never half."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def in_threads(work: Iterable[Callable[[], None]], *, threads: int) -> None:
    """Run every piece of work; the first error stops what has not begun and is raised."""
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(piece) for piece in work]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
