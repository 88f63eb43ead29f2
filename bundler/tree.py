"""Trees of files: packed as reproducible image layers, unpacked without trusting a name in them."""

from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import lzma
import os
import stat
import tarfile
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Self, cast

from bundler.blob import BlobWriter
from bundler.errors import IntegrityError
from bundler.model.descriptor import LAYER, MTIME, Descriptor
from bundler.store import PIECE_BYTES, Store

# What a damaged or hostile archive makes the standard library raise.
_BROKEN = (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, ValueError, OverflowError)
# What the system says of a name that it cannot make; a full disk is no fault of the archive.
_UNFIT = frozenset({errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EILSEQ})
# What is compressed may become this many times as large, and this large in any case: more is a bomb.
_MOST_TIMES = 100
_ALWAYS_BYTES = 16 * 1024 * 1024
# A name that takes more than this is a way to fill memory: tarfile reads it whole.
_LONGEST_NAME_BYTES = 1024 * 1024
_NAMES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_GZIP_PIECE = 4 * 1024 * 1024
_GZIP_LEVEL = 6
# A gzip header and trailer (zlib manual, deflateInit2), the same in every Python, unlike what gzip.compress writes.
_GZIP_FORMAT = 31


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """An image layer: its blob, and the SHA-256 of the tar inside (what OCI calls its diff id)."""

    descriptor: Descriptor
    diff_id: str


class _Gzip:
    """Gzip on all cores: a member per 4 MiB, so that the bytes do not depend on how many cores there are."""

    def __init__(self, out: BlobWriter, pool: ThreadPoolExecutor) -> None:
        self._out = out
        self._pool = pool
        self._buffer = bytearray()
        self._running: deque[Future[bytes]] = deque()
        self._most = 2 * (os.cpu_count() or 1)
        self.plain = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.plain.update(data)
        self._buffer += data
        while len(self._buffer) >= _GZIP_PIECE:
            piece, self._buffer = bytes(self._buffer[:_GZIP_PIECE]), self._buffer[_GZIP_PIECE:]
            self._submit(piece)
        return len(data)

    def _submit(self, piece: bytes) -> None:
        self._running.append(self._pool.submit(zlib.compress, piece, _GZIP_LEVEL, _GZIP_FORMAT))
        while len(self._running) > self._most:
            self._out.write(self._running.popleft().result())

    def finish(self) -> None:
        if self._buffer:
            self._submit(bytes(self._buffer))
        while self._running:
            self._out.write(self._running.popleft().result())


def pack_layer(root: Path, store: Store, *, prefix: str = "", owned: Callable[[str], int] = lambda path: 0) -> Layer:
    """Pack the tree below `root` as a gzip-compressed layer; the same tree gives the same bytes.

    Names are sorted, times fixed, modes 0755 or 0644 (a directory's sticky and write bits stay), `owned` gives the
    numeric owner of a path. `prefix` is put before every name.
    """
    with store.writer() as writer, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        out = _Gzip(writer, pool)
        with tarfile.open(
            fileobj=cast(BinaryIO, out), mode="w|", bufsize=PIECE_BYTES, format=tarfile.PAX_FORMAT
        ) as tar:
            for path in _walk(root):
                name = str(PurePosixPath(prefix, path.relative_to(root).as_posix()))
                _add(tar, path, name, owned(name))
        out.finish()
        return Layer(descriptor=writer.commit(LAYER), diff_id=out.plain.hexdigest())


def _walk(root: Path) -> Iterator[Path]:
    for path in sorted(root.iterdir()):
        yield path
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _add(tar: tarfile.TarFile, path: Path, name: str, owner: int) -> None:
    status = path.lstat()
    info = tarfile.TarInfo(name)
    info.mtime, info.uid, info.gid = MTIME, owner, owner
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, str(path.readlink()), 0o777
        tar.addfile(info)
    elif stat.S_ISDIR(status.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o1777 if status.st_mode & stat.S_ISVTX else 0o755
        tar.addfile(info)
    else:
        info.size, info.mode = status.st_size, 0o755 if status.st_mode & 0o100 else 0o644
        with path.open("rb") as stream:
            tar.addfile(info, stream)


def unpack_layer(stream: BinaryIO, destination: Path) -> None:
    """Unpack a gzip-compressed layer below an existing, empty directory.

    Raises:
        IntegrityError: a member leads out of the destination, is of a kind that has no place in a tree, or
            stands twice.
    """
    packed_bytes = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    with gzip.GzipFile(fileobj=stream) as plain:
        unpack_tar(plain, destination, packed_bytes=packed_bytes)


def most_bytes(packed_bytes: int) -> int:
    """Return the most that something of this size may unpack to."""
    return max(_ALWAYS_BYTES, _MOST_TIMES * packed_bytes)


class _Bounded:
    """A stream that ends with an error where a bomb begins."""

    def __init__(self, stream: object, packed_bytes: int) -> None:
        self._read: Callable[[int], bytes] = stream.read  # type: ignore[attr-defined]
        self._packed_bytes = packed_bytes
        self._left = most_bytes(packed_bytes)

    def read(self, size: int) -> bytes:
        data = self._read(size)
        self._left -= len(data)
        if self._left < 0:
            raise IntegrityError(
                f"expected {self._packed_bytes} bytes to unpack to at most {most_bytes(self._packed_bytes)}, got more",
                hint="it would fill the disk: whoever built the bundle must look at what is in it",
            )
        return data


class _Member(tarfile.TarInfo):
    """A member whose name fits into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        found = super().frombuf(buf, encoding, errors)
        if found.type in _NAMES and found.size > _LONGEST_NAME_BYTES:
            raise tarfile.ReadError(f"a name takes {found.size} bytes, more than {_LONGEST_NAME_BYTES}")
        return found


def unpack_tar(
    stream: object,
    destination: Path,
    *,
    packed_bytes: int | None = None,
    place: Callable[[str], str | None] = lambda name: name,
    replace: bool = False,
) -> None:
    """Unpack a tar from an uncompressed stream; `place` may rename a member or drop it (None).

    `packed_bytes` is the size of what the stream is unpacked from, where it is: it bounds what is read.

    Files and directories are made with O_NOFOLLOW and O_EXCL below directories that this call opened; links
    are made last, so that nothing is ever written through one. With `replace` a file that is there is replaced.
    """
    links: list[tuple[str, str]] = []
    bounded = stream if packed_bytes is None else _Bounded(stream, packed_bytes)
    with _refusing(), tarfile.open(fileobj=bounded, mode="r|", tarinfo=_Member) as tar:  # type: ignore[call-overload]
        for member in tar:
            name = place(_checked(member.name))
            if name in (None, "", "."):
                continue
            if member.issym() or member.islnk():
                links.append((name, _link_target(member, name, place)))
            elif member.isdir():
                _make_directory(destination, name, member.mode)
            elif member.isreg() and not member.issparse():
                content = tar.extractfile(member)
                assert content is not None
                _write(destination, name, content, member.mode, replace=replace)
            else:
                raise IntegrityError("expected a file, directory or link", place=_shown(member.name))
        for name, target in links:
            _link(destination, name, target, replace=replace)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Turn what a bad archive makes the library and the system raise into an IntegrityError."""
    try:
        yield
    except _BROKEN as error:
        raise IntegrityError(f"expected a tar: {error}") from error
    except OSError as error:
        if error.errno not in _UNFIT:
            raise
        reason = os.strerror(error.errno)
        raise IntegrityError(f"the name cannot be made here: {reason}", place=_shown(str(error.filename))) from error


def _shown(name: str) -> str:
    return '"' + name[:100].encode("unicode_escape").decode() + '"'


def _checked(name: str) -> str:
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise IntegrityError("the member leads out of the tree", place=_shown(name))
    return str(PurePosixPath(*parts)) if parts else "."


def _link_target(member: tarfile.TarInfo, name: str, place: Callable[[str], str | None]) -> str:
    """Return a relative target that stays inside the tree."""
    if member.islnk():
        inside = _checked(member.linkname)
    elif member.linkname.startswith("/"):
        inside = _checked(member.linkname.lstrip("/"))
    else:
        # As the archive means it, before anything is renamed.
        inside = os.path.normpath(str(PurePosixPath(_checked(member.name)).parent / member.linkname))
    target = os.path.normpath(place(inside) or inside)
    if target == ".." or target.startswith(("/", "../")) or "\0" in target:
        raise IntegrityError(f"the link leads out of the tree, to {_shown(member.linkname)}", place=_shown(name))
    return os.path.relpath(target, str(PurePosixPath(name).parent))


def _make_directory(root: Path, name: str, mode: int = 0o755) -> None:
    with _directory(root, PurePosixPath(name).parts) as handle:
        os.fchmod(handle.fd, 0o1777 if mode & stat.S_ISVTX else 0o755)


class _directory:  # noqa: N801 (used as a with-statement, like open)
    """Open a directory below `root` part by part, making what is missing, never through a link."""

    def __init__(self, root: Path, parts: Iterable[str]) -> None:
        self.fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for part in parts:
                made = _make(part, self.fd)
                below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self.fd)
                os.close(self.fd)
                self.fd = below
                if made:
                    os.fchmod(self.fd, 0o755)
        except OSError as error:
            os.close(self.fd)
            if isinstance(error, NotADirectoryError):
                raise IntegrityError("a file or link stands where a directory must be", place=_shown(part)) from error
            raise

    def __enter__(self) -> _directory:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)


def _make(name: str, fd: int) -> bool:
    """Make a directory; say whether it was not there."""
    try:
        os.mkdir(name, 0o755, dir_fd=fd)
    except FileExistsError:
        return False
    return True


def _write(root: Path, name: str, content: object, mode: int, *, replace: bool) -> None:
    path = PurePosixPath(name)
    with _directory(root, path.parts[:-1]) as parent:
        if replace:
            _remove(path.name, parent.fd)
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            target = os.open(path.name, flags, 0o600, dir_fd=parent.fd)
        except FileExistsError as error:
            raise IntegrityError("the member stands twice", place=_shown(name)) from error
        with os.fdopen(target, "wb") as out:
            while piece := content.read(PIECE_BYTES):  # type: ignore[attr-defined]
                out.write(piece)
            os.fchmod(out.fileno(), 0o755 if mode & 0o100 else 0o644)


def _link(root: Path, name: str, target: str, *, replace: bool) -> None:
    path = PurePosixPath(name)
    with _directory(root, path.parts[:-1]) as parent:
        if replace:
            _remove(path.name, parent.fd)
        try:
            os.symlink(target, path.name, dir_fd=parent.fd)
        except FileExistsError as error:
            raise IntegrityError("the member stands twice", place=_shown(name)) from error


def _remove(name: str, fd: int) -> None:
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        os.unlink(name, dir_fd=fd)


def write_tree_file(
    root: Path,
    name: str,
    content: BinaryIO,
    *,
    executable: bool,
    share: Callable[[str, int], bool] = lambda name, parent: False,
) -> None:
    """Write one file of a tree at a relative name, making its directories.

    `share` may make it some other way, at a name below an open directory, and say that it did.
    """
    with _refusing():
        path = PurePosixPath(_checked(name))
        with _directory(root, path.parts[:-1]) as parent:
            if share(path.name, parent.fd):
                return
        _write(root, str(path), content, 0o755 if executable else 0o644, replace=False)
