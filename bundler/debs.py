"""Debian packages into one relocatable tree with a Python that runs on hosts with an older C library."""

from __future__ import annotations

import lzma
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, cast

from bundler.errors import IntegrityError
from bundler.model.platform import Platform
from bundler.tree import unpack_tar

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60
# What no program of the tree reads: documents, translations, character tables, tests.
_DROPPED = re.compile(
    r"usr/share/(doc|man|info|lintian|locale|doc-base|bash-completion|menu|bug|applications|pixmaps)(/|$)"
    r"|usr/lib/[^/]+/gconv(/|$)"
    r"|usr/lib/python3\.\d+/(test|idlelib|tkinter|turtledemo|lib2to3/tests|ctypes/test|distutils/tests|unittest/test)"
    r"(/|$)"
    r"|etc/|var/"
)
# Directories that current Debian keeps below usr.
_MERGED = re.compile(r"(bin|sbin|lib|lib64)(/|$)")
_LAUNCHER = """\
#!/bin/sh
# Starts Python with the loader and the libraries of this tree, wherever it stands.
me=$0
while [ -L "$me" ]; do
  to=$(readlink "$me")
  case $to in /*) me=$to ;; *) me=${{me%/*}}/$to ;; esac
done
root=${{me%/usr/bin/*}}
exec "$root/{loader}" --argv0 "$0" --inhibit-cache --library-path \\
  "$root/usr/lib/{triplet}" "$root/usr/bin/python{version}.real" "$@"
"""


def make_runtime(debs: Sequence[Path], root: Path, *, platform: Platform, python: str) -> None:
    """Unpack Debian packages into the empty directory `root` and make their Python relocatable.

    Raises:
        IntegrityError: a file is no Debian package, or they hold no such Python.
    """
    for deb in debs:
        with deb.open("rb") as stream:
            packed_bytes = os.fstat(stream.fileno()).st_size
            unpack_tar(_data(stream, deb.name), root, packed_bytes=packed_bytes, place=_place, replace=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        if (root / "usr" / name).is_dir():
            (root / name).symlink_to(f"usr/{name}")
    interpreter = root / f"usr/bin/python{python}"
    if not interpreter.is_file() or not (root / platform.loader).exists():
        raise IntegrityError(f"the packages hold no python{python} for {platform}", place="python.packages")
    interpreter.rename(interpreter.with_name(f"python{python}.real"))
    launcher = _LAUNCHER.format(loader=platform.loader, triplet=platform.triplet, version=python)
    interpreter.write_text(launcher)
    interpreter.chmod(0o755)
    for name in ("python3", "python"):
        (root / "usr/bin" / name).unlink(missing_ok=True)
        (root / "usr/bin" / name).symlink_to(f"python{python}")


def _place(name: str) -> str | None:
    merged = f"usr/{name}" if _MERGED.match(name) else name
    return None if _DROPPED.match(merged + "/") or _DROPPED.match(merged) else merged


def _data(stream: BinaryIO, name: str) -> object:
    """Return the uncompressed `data.tar` of a package (deb(5): an ar archive of three members)."""
    if stream.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise IntegrityError("expected a Debian package", place=name)
    while len(head := stream.read(_AR_HEADER)) == _AR_HEADER:
        member, size = head[:16].decode("ascii", "replace").strip().rstrip("/"), _size(head[48:58], name)
        if member == "data.tar.xz":
            return lzma.LZMAFile(cast(BinaryIO, _Part(stream, size)))
        if member == "data.tar.gz":
            return _Gunzip(stream, size)
        if member == "data.tar":
            return _Part(stream, size)
        if member.startswith("data.tar"):
            raise IntegrityError(f'expected data.tar.xz or data.tar.gz, got "{member}"', place=name)
        stream.seek(size + size % 2, os.SEEK_CUR)
    raise IntegrityError("expected a data.tar in the Debian package", place=name)


def _size(field: bytes, name: str) -> int:
    text = field.decode("ascii", "replace").strip()
    if not re.fullmatch("[0-9]{1,10}", text):
        raise IntegrityError(f'expected the size of a member in the Debian package, got "{text}"', place=name)
    return int(text)


class _Part:
    """The next `size` bytes of a stream, as a file."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int = -1) -> bytes:
        wanted = self._left if size < 0 else min(size, self._left)
        data = self._stream.read(wanted)
        self._left -= len(data)
        return data

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    closed = False


class _Gunzip(_Part):
    def __init__(self, stream: BinaryIO, size: int) -> None:
        super().__init__(stream, size)
        self._zlib = zlib.decompressobj(wbits=31)
        self._ready = b""

    def read(self, size: int = -1) -> bytes:
        while (size < 0 or len(self._ready) < size) and (piece := super().read(1 << 16)):
            self._ready += self._zlib.decompress(piece)
        if (size < 0 or len(self._ready) < size) and not self._zlib.eof:
            raise EOFError("the compressed data ended early")
        data, self._ready = (self._ready, b"") if size < 0 else (self._ready[:size], self._ready[size:])
        return data
