"""A medium that fails as it is told: a read-only file system of this process, through the kernel's FUSE.

Source: linux/fuse.h, protocol 7.31.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

_LIBC = ctypes.CDLL(None, use_errno=True)
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MNT_DETACH = 1, 2, 4, 2
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE = 1, 2, 3, 14, 15, 17, 18
_FLUSH, _INIT, _OPENDIR, _READDIR, _RELEASEDIR, _ACCESS, _INTERRUPT, _BATCH_FORGET = 25, 26, 27, 28, 29, 34, 36, 42
_UNANSWERED = frozenset({_FORGET, _INTERRUPT, _BATCH_FORGET})
_DIRECT_IO = 1
_ROOT = 1
_IN = struct.Struct("<IIQQIIIHH")
_REQUEST_BYTES = 1024 * 1024 + 4096


def can_mount() -> bool:
    """Say whether this process may mount a file system of its own here."""
    return os.geteuid() == 0 and os.access("/dev/fuse", os.R_OK | os.W_OK)


@dataclass(kw_only=True)
class Faults:
    """How the medium fails: `bad` are ranges of a file that cannot be read (from, to), each with EIO.

    `gone_after` is how many reads succeed before every one fails with ENODEV. `before_read` is called before each read,
    with the name of the file, and may change what the files hold.
    """

    bad: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    gone_after: int | None = None
    before_read: Callable[[str, int], None] = lambda name, offset: None


class BadMedium:
    """Files by name at `path`; every read of them comes here, since the kernel keeps nothing of it."""

    def __init__(self, path: Path, files: Mapping[str, bytes]) -> None:
        self.path = path
        self.files = {name: bytes(data) for name, data in files.items()}
        self.faults = Faults()
        self.reads: list[tuple[str, int, int]] = []
        self._names = sorted(files)
        self._fd = -1
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> BadMedium:
        self.path.mkdir(exist_ok=True)
        self._fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
        options = f"fd={self._fd},rootmode=40000,user_id=0,group_id=0".encode()
        flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV
        if _LIBC.mount(b"bad-medium", os.fsencode(self.path), b"fuse", flags, options):
            code = ctypes.get_errno()
            os.close(self._fd)
            raise OSError(code, os.strerror(code))
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        _LIBC.umount2(os.fsencode(self.path), _MNT_DETACH)
        self._thread.join(10)
        os.close(self._fd)

    def _serve(self) -> None:
        while True:
            try:
                request = os.read(self._fd, _REQUEST_BYTES)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                continue
            _, code, unique, node, *_ = _IN.unpack_from(request)
            if code in _UNANSWERED:
                continue
            try:
                status, body = 0, self._answer(code, node, request[_IN.size :])
            except OSError as error:
                status, body = -(error.errno or errno.EIO), b""
            try:
                os.write(self._fd, struct.pack("<IiQ", 16 + len(body), status, unique) + body)
            except OSError:
                continue

    def _answer(self, code: int, node: int, body: bytes) -> bytes:
        if code == _INIT:
            readahead = struct.unpack_from("<I", body, 8)[0]
            return struct.pack("<IIIIHHIIHHI", 7, 31, readahead, 0, 16, 12, 4096, 1, 0, 0, 0) + bytes(28)
        if code == _LOOKUP:
            name = body.rstrip(b"\0").decode()
            if name not in self._names:
                raise OSError(errno.ENOENT, name)
            found = _ROOT + 1 + self._names.index(name)
            return struct.pack("<QQQQII", found, 0, 0, 0, 0, 0) + self._attributes(found)
        if code == _GETATTR:
            return struct.pack("<QII", 0, 0, 0) + self._attributes(node)
        if code in (_OPEN, _OPENDIR):
            return struct.pack("<QII", 0, _DIRECT_IO if code == _OPEN else 0, 0)
        if code == _READ:
            return self._read(self._names[node - _ROOT - 1], *struct.unpack_from("<QI", body, 8))
        if code == _READDIR:
            return self._entries(struct.unpack_from("<Q", body, 8)[0])
        if code == _STATFS:
            return bytes(80)
        if code in (_RELEASE, _RELEASEDIR, _FLUSH, _ACCESS):
            return b""
        raise OSError(errno.ENOSYS, "not here")

    def _attributes(self, node: int) -> bytes:
        size = 0 if node == _ROOT else len(self.files[self._names[node - _ROOT - 1]])
        mode = (stat.S_IFDIR | 0o755) if node == _ROOT else (stat.S_IFREG | 0o644)
        return struct.pack("<6Q10I", node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _entries(self, offset: int) -> bytes:
        out = b""
        for index, name in enumerate(self._names[offset:], offset):
            text = name.encode()
            out += struct.pack("<QQII", _ROOT + 1 + index, index + 1, len(text), 8) + text
            out += bytes(-len(out) % 8)
        return out[:4096]

    def _read(self, name: str, offset: int, size: int) -> bytes:
        self.faults.before_read(name, offset)
        self.reads.append((name, offset, size))
        if self.faults.gone_after is not None and len(self.reads) > self.faults.gone_after:
            raise OSError(errno.ENODEV, name)
        if any(start < offset + size and offset < end for start, end in self.faults.bad.get(name, ())):
            raise OSError(errno.EIO, name)
        return self.files[name][offset : offset + size]
