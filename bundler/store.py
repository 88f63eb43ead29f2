"""The content store: an OCI image layout whose blobs are only ever complete and checked."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from bundler.blob import BlobWriter, Part
from bundler.errors import HostError, IntegrityError
from bundler.hasher import PIECE_BYTES as PIECE_BYTES
from bundler.hasher import Hasher, describe_file
from bundler.model.descriptor import OCTETS, Descriptor, chunk_count
from bundler.model.progress import Progress, Silent

OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}\n'
_HEX = re.compile("[0-9a-f]{64}")


def describe_bytes(data: bytes, media_type: str) -> Descriptor:
    """Return the descriptor of bytes in memory."""
    hasher = Hasher()
    hasher.update(data)
    return hasher.finish(media_type)


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

    def writer(self) -> BlobWriter:
        """Start a blob whose digests are not yet known."""
        return BlobWriter(self._new_part(), self.adopt)

    def part(self) -> Part:
        """Start a blob whose SHA-256 is known, for this writer alone."""
        return Part(self._new_part(), self._place)

    def _new_part(self) -> Path:
        return self.root / "parts" / f"{os.getpid()}-{secrets.token_hex(8)}"

    def resume(self, sha256: str) -> Part | None:
        """Start or go on with a blob that is known by its digest; None while another writer has it."""
        part = Part(self._resumable(sha256), self._place, resume=True)
        if part.alone:
            return part
        part.close()
        return None

    def _resumable(self, sha256: str) -> Path:
        return self.root / "parts" / f"{sha256}.part"

    def resumable_bytes(self, sha256: str) -> int:
        """Return how much of a blob an earlier writer left."""
        try:
            return self._resumable(sha256).stat().st_size
        except FileNotFoundError:
            return 0

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
        """Take over a complete, checked and synced file as a blob; when this returns, no power cut can undo it."""
        self._record(descriptor)
        self._place(part, descriptor.sha256)
        self.sync()

    def _place(self, part: Path, sha256: str) -> None:
        part.chmod(0o644)
        part.replace(self.path(sha256))

    def sync(self) -> None:
        """Return when no power cut can undo that the blobs are there."""
        sync_directory(self.root / "blobs/sha256")

    def describe(self, sha256: str, media_type: str) -> Descriptor:
        """Return the descriptor of a blob that is there; what is not recorded of it is computed now.

        Raises:
            IntegrityError: the blob is not there, or other bytes are.
        """
        found = self._recorded(sha256)
        if found is None:
            self.complete([sha256], Silent())
            found = self._recorded(sha256)
            assert found is not None
        return replace(found, media_type=media_type)

    def complete(self, digests: Iterable[str], progress: Progress) -> None:
        """Record what a manifest tells of blobs beside their SHA-256, on all cores, where it is not recorded yet.

        Each blob is read once, and its SHA-256 is checked in the same pass: the record binds bytes that are right.

        Raises:
            IntegrityError: a blob is not there, or other bytes are.
        """
        wanted = sorted(set(digests))
        for sha256 in wanted:
            _used(self.path(sha256))
        missing = [sha256 for sha256 in wanted if self._recorded(sha256) is None]
        sizes = {sha256: self._size(sha256) for sha256 in missing}
        if not sizes:
            return
        progress.start("digest", sum(sizes.values()))
        largest_first = sorted(sizes, key=lambda sha256: -sizes[sha256])
        work = [partial(self._complete, sha256, sizes[sha256], progress) for sha256 in largest_first]
        in_threads(work, threads=os.cpu_count() or 1)

    def _complete(self, sha256: str, size: int, progress: Progress) -> None:
        try:
            with progress.item(sha256[:12], size) as advance:
                descriptor = describe_file(self.path(sha256), size, advance)
        except OSError as error:
            raise self._damaged(sha256, f"it cannot be read: {error.strerror}") from error
        if (descriptor.sha256, descriptor.size) != (sha256, size):
            raise self._damaged(sha256, f"got {descriptor.size} bytes with sha256 {descriptor.sha256}")
        self._record(descriptor)

    def _size(self, sha256: str) -> int:
        try:
            return self.path(sha256).stat().st_size
        except OSError as error:
            raise self._damaged(sha256, "it is not there") from error

    def _record(self, descriptor: Descriptor) -> None:
        """Write down what is known of a blob; it can be found out again, so nothing waits for the disk."""
        known = {"sm3": descriptor.sm3, "size": descriptor.size, "chunks": list(descriptor.chunks)}
        write_file(self.root / "known" / descriptor.sha256, json.dumps(known).encode(), durable=False)

    def forget(self, sha256: str) -> None:
        """Count a blob as not there: its record goes, and the next writer takes its place."""
        (self.root / "known" / sha256).unlink(missing_ok=True)

    def _recorded(self, sha256: str) -> Descriptor | None:
        """Return what is recorded of a blob, if it is there and the record fits it."""
        try:
            known = json.loads((self.root / "known" / sha256).read_bytes())
            size, sm3, chunks = int(known["size"]), str(known["sm3"]), tuple(map(str, known["chunks"]))
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None
        fits = len(chunks) == chunk_count(size) and all(_HEX.fullmatch(text) for text in (sm3, *chunks))
        if not fits or not self.has(sha256, size):
            return None
        return Descriptor(media_type=OCTETS, size=size, sha256=sha256, sm3=sm3, chunks=chunks)

    def _damaged(self, sha256: str, why: str) -> IntegrityError:
        return IntegrityError(
            f"the stored blob {sha256} is damaged: {why}",
            place=str(self.path(sha256)),
            hint="run: ferry cache prune --check, then the command again; it is fetched anew",
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
        if "blob" in facts:
            _used(self.path(str(facts["blob"])))
        _used(self.root / "derived" / key)
        return {str(name): str(value) for name, value in facts.items()}


def derivation_key(*parts: str) -> str:
    """Return the key of something made from `parts` and nothing else."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def check_output(path: Path) -> None:
    """Refuse to put a file in the place of something else, such as /dev/null.

    Raises:
        HostError: a device, a directory or the like is there.
    """
    if path.exists() and not path.is_file():
        raise HostError("expected a place for a file, something else is there", place=str(path))


def write_file(path: Path, data: bytes, mode: int = 0o644, *, durable: bool = True) -> None:
    """Write a whole file so that a crash leaves the old one or the new one, never half.

    Without `durable` that holds for a crash of this process; after a power cut anything may stand there.

    Raises:
        HostError: something that is no file is there.
    """
    check_output(path)
    part = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    if durable:
        sync_directory(path.parent)


def _used(path: Path) -> None:
    """Note that something is still used: its time says so to those who prune."""
    with suppress(OSError):
        os.utime(path)


def sync_directory(path: Path) -> None:
    """Wait until the disk has what was made, renamed and removed in a directory."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def in_threads(work: Iterable[Callable[[], None]], *, threads: int, stop: Callable[[], None] = lambda: None) -> None:
    """Run every piece of work; the first error stops what has not begun and is raised.

    `stop` is called then, to stop what has begun.
    """
    with ThreadPoolExecutor(threads) as pool:
        futures = [pool.submit(piece) for piece in work]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future in done:
                    future.result()
        except BaseException:
            stop()
            pool.shutdown(cancel_futures=True)
            raise
