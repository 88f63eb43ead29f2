"""What a tar of images holds: every member goes once, as it flows by, into the content store."""

from __future__ import annotations

import re
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import IO

from bundler.errors import IntegrityError
from bundler.local.gunzip import Gunzip
from bundler.model.document import describe
from bundler.model.image import MANIFEST_MAX_BYTES
from bundler.store import PIECE_BYTES, Store

# These say what the rest is, and are kept in memory.
_TEXTS = ("index.json", "manifest.json", "oci-layout")
# What `docker save` writes for Docker before 1.10, and what nothing reads since.
_OLD = re.compile("repositories|[0-9a-f]{64}/(VERSION|json)")
_BLOB = re.compile("blobs/sha256/([0-9a-f]{64})")
_GZIP = b"\x1f\x8b"


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A member that is in the store: its digest and size, and the digest of what is in it if it is compressed."""

    sha256: str
    size: int
    diff_sha256: str

    @property
    def is_gzip(self) -> bool:
        """Whether it is compressed."""
        return self.diff_sha256 != self.sha256


@dataclass(frozen=True, kw_only=True, slots=True)
class Parts:
    """The members of a tar by name; `links` leads from a name to another one."""

    texts: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, Part] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> Part | None:
        """Return a member, through one link if need be: so `docker save` writes a layer that stands twice."""
        return self.files.get(name) or self.files.get(self.links.get(name, ""))


def read_tar(stream: IO[bytes], store: Store, *, place: str, advance: Callable[[int], None]) -> Parts:
    """Read a tar, plain or compressed, from its beginning to its end; memory stays constant.

    Raises:
        IntegrityError: it is damaged, or has members that no archive of images has; `place` names it.
    """
    parts = Parts()
    try:
        with tarfile.open(fileobj=stream, mode="r|*", bufsize=PIECE_BYTES) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]
                _take(member, tar, parts, store, place=place, advance=advance)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise IntegrityError(f"expected a whole tar, it cannot be read: {error}", place=place) from error
    return parts


def _take(
    member: tarfile.TarInfo,
    tar: tarfile.TarFile,
    parts: Parts,
    store: Store,
    *,
    place: str,
    advance: Callable[[int], None],
) -> None:
    name = _inside(member.name, PurePosixPath(), place=place, what="a member")
    if member.isdir() or _OLD.fullmatch(name):
        return
    if name in parts.files or name in parts.links or name in parts.texts:
        raise IntegrityError(f"{describe(name)} stands twice", place=place)
    if member.issym() or member.islnk():
        start = PurePosixPath(name).parent if member.issym() else PurePosixPath()
        parts.links[name] = _inside(member.linkname, start, place=place, what=f"the link {describe(name)}")
        return
    if not member.isfile() or member.issparse():
        raise IntegrityError(f"expected regular files, {describe(name)} is none", place=place)
    file = tar.extractfile(member)
    assert file is not None
    if name in _TEXTS:
        if member.size > MANIFEST_MAX_BYTES:
            raise IntegrityError(
                f"expected {name} of at most {MANIFEST_MAX_BYTES} bytes, got {member.size}", place=place
            )
        parts.texts[name] = file.read()
        return
    parts.files[name] = put(file, name, member.size, store, place=place, advance=advance)


def _inside(path: str, start: PurePosixPath, *, place: str, what: str) -> str:
    """Return where a path leads below the root of the tar."""
    parts = list(start.parts)
    for part in PurePosixPath(path).parts:
        if part == "/" or (part == ".." and not parts):
            raise IntegrityError(f"{what} leads out of the archive: {describe(path)}", place=place)
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def put(stream: IO[bytes], name: str, size: int, store: Store, *, place: str, advance: Callable[[int], None]) -> Part:
    """Put a file into the store; one that is called by its digest must have it.

    Raises:
        IntegrityError: it has another one, or is compressed and damaged.
    """
    match = _BLOB.fullmatch(name)
    unpacked: Gunzip | None = None
    with store.part() as writer:
        while piece := stream.read(PIECE_BYTES):
            if not writer.size and match is None and piece.startswith(_GZIP):
                unpacked = Gunzip()
            writer.write(piece)
            if unpacked is not None:
                unpacked.update(piece)
            advance(len(piece))
        try:
            sha256 = match[1] if match else writer.sha256
            writer.commit(sha256=sha256, size=size)
        except IntegrityError as error:
            raise IntegrityError(f'"{name}" is damaged: {error.message}', place=place) from error
    diff = unpacked.finish() if unpacked is not None else sha256
    return Part(sha256=sha256, size=size, diff_sha256=diff)
