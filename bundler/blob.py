"""A blob on its way into the store: a file that gets its final name when its digest is right, and never before."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from bundler.errors import HostError, IntegrityError
from bundler.hasher import PIECE_BYTES, Hasher
from bundler.model.descriptor import Descriptor


class _Digest(Protocol):
    def update(self, data: bytes | memoryview, /) -> None: ...
    def hexdigest(self) -> str: ...


class _Part:
    """A file below the store's parts, locked by its writer."""

    def __init__(self, path: Path, digest: _Digest, *, resume: bool = False) -> None:
        self.path = path
        self.size = 0
        self._digest = digest
        # Another process may be writing this very file: nothing is cut off before it is known to be ours.
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | (0 if resume else os.O_EXCL)
        self._fd = os.open(path, flags, 0o644)
        self.alone = self._lock()
        if resume and self.alone:
            self._reread()

    def _lock(self) -> bool:
        """Take the file for this writer; say whether no other one has it or had it and finished."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return os.path.samestat(os.fstat(self._fd), self.path.stat())
        except (BlockingIOError, FileNotFoundError):
            return False

    def _reread(self) -> None:
        buffer = memoryview(bytearray(PIECE_BYTES))
        while count := os.readv(self._fd, [buffer]):
            self._digest.update(buffer[:count])
            self.size += count

    def write(self, data: bytes | memoryview) -> int:
        """Append bytes.

        Raises:
            HostError: the store cannot take them.
        """
        self._digest.update(data)
        view = memoryview(data)
        with self._writing():
            while view:
                view = view[os.write(self._fd, view) :]
        self.size += len(data)
        return len(data)

    def _sync(self) -> None:
        with self._writing():
            os.fsync(self._fd)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise HostError(
                f"the store cannot be written: {error.strerror}",
                place=str(self.path.parent.parent),
                hint="free some space (ferry cache prune) or name another place in FERRY_STORE; what has come is kept",
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def discard(self) -> None:
        """Remove, then close: the lock goes with the file."""
        self.path.unlink(missing_ok=True)
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._fd >= 0:
            self.discard()


class Part(_Part):
    """A blob of which the SHA-256 is enough, being written; `alone` says that no other process has it.

    With `resume` it goes on where an earlier writer ended.
    """

    def __init__(self, path: Path, place: Callable[[Path, str], None], *, resume: bool = False) -> None:
        super().__init__(path, hashlib.sha256(), resume=resume)
        self._place = place

    def restart(self) -> None:
        """Forget what is written."""
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.ftruncate(self._fd, 0)
        self._digest = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """The SHA-256, in hex, of what is written so far."""
        return self._digest.hexdigest()

    def holds(self, sha256: str, size: int) -> bool:
        """Say whether what is written so far is the blob of this digest and size."""
        return self.size == size and self._digest.hexdigest() == sha256

    def commit(self, *, sha256: str, size: int) -> None:
        """Check, sync and rename.

        The directory is not synced: a name that is lost with the power is a blob that is fetched again.

        Raises:
            IntegrityError: the bytes are not those of `sha256` and `size`; nothing is kept.
            HostError: the store cannot take them.
        """
        got = self._digest.hexdigest()
        if (got, self.size) != (sha256, size):
            self.discard()
            raise IntegrityError(f"expected {size} bytes with sha256 {sha256}, got {self.size} bytes with {got}")
        self._sync()
        # The lock goes with the file, so that nobody takes up the part before it is renamed.
        self._place(self.path, sha256)
        self.close()

    def keep(self) -> None:
        """Close without finishing; a later writer may resume what is there."""
        if self._fd >= 0 and self.size == 0:
            self.discard()
        self.close()


class BlobWriter(_Part):
    """A blob whose digests are not known yet, being written."""

    def __init__(self, path: Path, adopt: Callable[[Path, Descriptor], None]) -> None:
        self._hasher = Hasher()
        super().__init__(path, self._hasher)
        self._adopt = adopt

    def commit(self, media_type: str, *, expected: Descriptor | None = None) -> Descriptor:
        """Sync and rename; return the descriptor, which must be the expected one where one is.

        Raises:
            IntegrityError: other bytes came; nothing is kept.
            HostError: the store cannot take it.
        """
        descriptor = self._hasher.finish(media_type)
        if expected is not None and descriptor != expected:
            self.discard()
            raise IntegrityError(
                f"expected {expected.size} bytes with sha256 {expected.sha256}, "
                f"got {descriptor.size} bytes with {descriptor.sha256}"
            )
        self._sync()
        self._adopt(self.path, descriptor)
        self.close()
        return descriptor
