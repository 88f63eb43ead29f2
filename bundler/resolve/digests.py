"""SHA-256 of files on all cores; what large ones had is remembered, so that they are not read at every lock."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import RecipeError
from bundler.model.progress import Progress, Silent
from bundler.store import PIECE_BYTES, Store, derivation_key, in_threads

REMEMBERED_ABOVE_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What a file is now: size in bytes, SHA-256 in hex, and whether its owner may run it."""

    size: int
    sha256: str
    executable: bool


class Digests:
    """Measures files. With `root`, that of a content store, the digests of large files are kept there.

    A digest is remembered for a path with its device, inode, size and both times. That is enough for a lock, which a
    build never takes on trust: it hashes what it copies.
    """

    def __init__(self, root: Path | None = None, progress: Progress | None = None) -> None:
        self._root = root
        self._progress = progress or Silent()

    def measure(self, paths: Sequence[Path]) -> list[Measured]:
        """Return what each file is now.

        Raises:
            RecipeError: one cannot be read, or changes meanwhile.
        """
        status = [_status(path) for path in paths]
        large = any(one.st_size > REMEMBERED_ABOVE_BYTES for one in status)
        store = self._store() if large else None
        if large:
            self._progress.start("hash", sum(one.st_size for one in status))
        found: dict[int, str] = {}
        work = [
            self._piece(i, path, one, store, found) for i, (path, one) in enumerate(zip(paths, status, strict=True))
        ]
        in_threads(work, threads=os.cpu_count() or 1)
        return [
            Measured(size=one.st_size, sha256=found[index], executable=bool(one.st_mode & 0o100))
            for index, one in enumerate(status)
        ]

    def _store(self) -> Store | None:
        with suppress(OSError):
            return None if self._root is None else Store(self._root)
        return None

    def _piece(
        self, index: int, path: Path, status: os.stat_result, store: Store | None, found: dict[int, str]
    ) -> Callable[[], None]:
        def work() -> None:
            key = _key(path, status) if store and status.st_size > REMEMBERED_ABOVE_BYTES else ""
            known = store.remembered(key) if store and key else None
            if known and "sha256" in known:
                self._progress.advance(status.st_size)
                found[index] = known["sha256"]
                return
            found[index] = self._hash(path, status)
            if store and key:
                # Without a place to remember it, it is read again the next time.
                with suppress(OSError):
                    store.remember(key, {"sha256": found[index]})

        return work

    def _hash(self, path: Path, status: os.stat_result) -> str:
        digest = hashlib.sha256()
        try:
            with path.open("rb", buffering=0) as stream:
                while piece := stream.read(PIECE_BYTES):
                    digest.update(piece)
                    self._progress.advance(len(piece))
                after = os.fstat(stream.fileno())
        except OSError as error:
            raise RecipeError(f"the file cannot be read: {error.strerror}", place=str(path)) from error
        if _identity(after) != _identity(status):
            raise RecipeError("the file changes while it is read", place=str(path), hint="wait until it is whole")
        return digest.hexdigest()


def _status(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise RecipeError(f"the file cannot be read: {error.strerror}", place=str(path)) from error


def _identity(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _key(path: Path, status: os.stat_result) -> str:
    return derivation_key("1", "digest", str(path.resolve()), *map(str, _identity(status)))
