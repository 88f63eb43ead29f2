"""A bundle that is pushed: held open, its signature checked before anything of it leaves."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from bundler.archive import head_places, read_head, spans
from bundler.checks import Reading
from bundler.client import Extent
from bundler.errors import IntegrityError
from bundler.model.artifact import Named
from bundler.model.manifest import Manifest
from bundler.persistence import StoppedError
from bundler.store import in_threads
from bundler.transport import Transport
from bundler.upload import Content
from bundler.verify import Policy, open_bundle, read_manifest, verify

# What a registry takes at once is for its pace to say; this is how many may wait for their turn.
_THREADS = 8


class Source:
    """The entries of a bundle, those of its head first; close it when done.

    Raises:
        TrustError, IntegrityError: the head is refused.
    """

    def __init__(self, path: Path, policy: Policy, *, now: datetime) -> None:
        self.path = path
        self._policy = policy
        self._now = now
        self._file = open_bundle(path)
        try:
            head = read_head(self._file)
            self.manifest: Manifest = read_manifest(head, policy, now=now)[0]
            self._places = {name: (at, size) for name, at, size in head_places(self._file)}
        except BaseException:
            self._file.close()
            raise
        self._places |= {one.entry.name: (one.data, one.entry.size) for one in spans(self.manifest, head.end)}
        self._digests = {entry.name: entry.sha256 for entry in self.manifest.entries}

    @property
    def layers(self) -> tuple[Named, ...]:
        """Every entry in its order in the file."""
        return tuple(Named(name=name, size=size, sha256=self._sha256(name)) for name, (_, size) in self._places.items())

    def _sha256(self, name: str) -> str:
        # The head is covered by its signatures and not by the manifest.
        return self._digests.get(name) or hashlib.sha256(self._bytes(name)).hexdigest()

    def _bytes(self, name: str) -> bytes:
        at, size = self._places[name]
        return os.pread(self._file.fileno(), size, at)

    def content(self, name: str, sha256: str) -> Content:
        """Return an entry for an upload."""
        at, size = self._places[name]
        return Content(sha256=sha256, extent=Extent(file=self._file, offset=at, size=size))

    def blob(self, sha256: str) -> Content:
        """Return a blob for an upload.

        Raises:
            IntegrityError: the bundle does not carry it.
        """
        name = f"blobs/sha256/{sha256}"
        if name not in self._places:
            raise IntegrityError("expected a blob of the bundle, it is not there", place=f"sha256:{sha256}")
        return self.content(name, sha256)

    def read(self, sha256: str) -> bytes:
        """Return a small blob whole, checked.

        Raises:
            IntegrityError: the bundle does not carry it, or other bytes.
        """
        found = self.blob(sha256).extent
        data = os.pread(found.file.fileno(), found.size, found.offset)
        got = hashlib.sha256(data).hexdigest()
        if got != sha256:
            raise IntegrityError(f"expected sha256 {sha256}, got {got}", place=str(self.path))
        return data

    def send(self, uploads: Sequence[Callable[[], None]], transport: Transport, *, checked: bool = False) -> None:
        """Do all uploads; unless the bundle is `checked` already, check every byte of it beside them.

        What is damaged ends the uploads, and nothing in the registry leads to what was sent by then.

        Raises:
            TransferError, IntegrityError: what went wrong first.
        """
        stopped: list[bool] = []

        def advance(count: int) -> None:
            if stopped:
                raise StoppedError

        def check() -> None:
            verify(self.path, self._policy, now=self._now, reading=Reading(advance=advance))

        def stop() -> None:
            stopped.append(True)
            transport.stop()

        work = uploads if checked else [check, *uploads]
        in_threads(work, threads=_THREADS + (not checked), stop=stop)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
