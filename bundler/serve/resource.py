"""What stands behind a path: a part of the bundle's file, or a few bytes made from its manifest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from socket import socket

from bundler.archive import read_head, spans
from bundler.errors import IntegrityError
from bundler.model.manifest import Entry
from bundler.model.whole import refuse_differential
from bundler.verify import VerifiedBundle

_PIECE_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Resource:
    """Bytes with their media type: `data`, or `size` bytes of the bundle from `offset` on.

    `sha256` is in hex; `headers` come with every answer.
    """

    media_type: str
    size: int
    sha256: str
    offset: int = 0
    data: bytes | None = None
    headers: Mapping[str, str] | None = None


def made(data: bytes, media_type: str) -> Resource:
    """Return bytes in memory as a resource."""
    return Resource(media_type=media_type, size=len(data), sha256=hashlib.sha256(data).hexdigest(), data=data)


class OpenBundle:
    """A bundle that was verified, held open, so that nobody can put another file in its place."""

    def __init__(self, verified: VerifiedBundle) -> None:
        refuse_differential(verified.manifest, because="clients would ask for them")
        self.manifest = verified.manifest
        self._path = verified.path
        self._file = self._path.open("rb", buffering=0)
        self._fd = self._file.fileno()
        self._state = self._stamp()
        self.size = os.fstat(self._fd).st_size
        try:
            self._check_head(verified)
        except BaseException:
            self._file.close()
            raise
        self._spans = {span.entry.name: span for span in spans(verified.manifest, verified.head_end)}
        self._by_digest = {entry.sha256: entry for entry in verified.manifest.entries}

    def _check_head(self, verified: VerifiedBundle) -> None:
        if read_head(self._file).manifest != verified.manifest_bytes:
            raise self._changed()

    def _stamp(self) -> tuple[int, ...]:
        found = os.fstat(self._fd)
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns

    def _changed(self) -> IntegrityError:
        return IntegrityError(
            "the bundle changed after it was verified", place=str(self._path), hint="leave the medium alone, run again"
        )

    def check_same(self) -> None:
        """Refuse to go on once the file is another than the one that was verified.

        Raises:
            IntegrityError: it was written to.
        """
        if self._stamp() != self._state:
            raise self._changed()

    def whole(self) -> Resource:
        """Return the bundle itself; its digest is not known."""
        return Resource(media_type="application/x-tar", size=self.size, sha256="")

    def resource(self, sha256: str, media_type: str) -> Resource:
        """Return a blob, or an entry in front of the blobs, by its digest."""
        entry = self._by_digest[sha256]
        at = self._spans[entry.name].data
        return Resource(media_type=media_type, size=entry.size, sha256=sha256, offset=at)

    def entry(self, name: str) -> Entry:
        """Return an entry by its name."""
        return self._spans[name].entry

    def read(self, sha256: str) -> bytes:
        """Return a small entry whole, checked once more.

        Raises:
            IntegrityError: the bytes are not those that were verified.
        """
        resource = self.resource(sha256, "")
        data = b"".join(self.pieces(resource, 0, resource.size))
        if hashlib.sha256(data).hexdigest() != sha256:
            raise self._changed()
        return data

    def pieces(self, resource: Resource, start: int, count: int) -> Iterator[bytes]:
        """Yield `count` bytes of a resource from `start` on."""
        if resource.data is not None:
            yield resource.data[start : start + count]
            return
        at, end = resource.offset + start, resource.offset + start + count
        while at < end:
            piece = os.pread(self._fd, min(_PIECE_BYTES, end - at), at)
            if not piece:
                raise self._changed()
            yield piece
            at += len(piece)

    def send(self, connection: socket, resource: Resource, start: int, count: int) -> None:
        """Let the kernel copy a part of the bundle to a connection.

        Raises:
            IntegrityError: the file ends early.
            OSError: the other side went away, or took nothing for as long as its time limit says.
        """
        if connection.sendfile(self._file, resource.offset + start, count) != count:
            raise self._changed()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
