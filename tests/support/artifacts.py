"""Wheels and Debian packages, small and made in memory."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import lzma
import tarfile
import zipfile
from collections.abc import Mapping, Sequence


def make_wheel(
    name: str,
    version: str,
    files: Mapping[str, bytes],
    *,
    tag: str = "py3-none-any",
    metadata: Sequence[str] = (),
    scripts: Sequence[str] = (),
) -> tuple[str, bytes]:
    """Return file name and bytes of a wheel; `metadata` are more lines of METADATA, `scripts` entry points."""
    info = f"{name}-{version}.dist-info"
    head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *metadata]
    contents = {
        **files,
        f"{info}/METADATA": ("\n".join(head) + "\n").encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    if scripts:
        contents[f"{info}/entry_points.txt"] = ("[console_scripts]\n" + "\n".join(scripts) + "\n").encode()
    lines = [f"{path},sha256={_digest(data)},{len(data)}" for path, data in contents.items()]
    contents[f"{info}/RECORD"] = ("\n".join([*lines, f"{info}/RECORD,,"]) + "\n").encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, data in contents.items():
            archive.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), data)
    return f"{name}-{version}-{tag}.whl", out.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def make_tar(*members: tuple[str, object]) -> bytes:
    """Return a tar of (name, content): bytes, None for a directory, or a TarInfo to take type and link from."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, tarfile.TarInfo):
                info.type, info.linkname, info.pax_headers = content.type, content.linkname, content.pax_headers
                tar.addfile(info)
            elif content is None:
                info.type, info.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(info)
            else:
                assert isinstance(content, bytes)
                info.size = len(content)
                info.mode = 0o755 if content.startswith((b"#!", b"\x7fELF")) else 0o644
                tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def link(to: str, *, hard: bool = False) -> tarfile.TarInfo:
    """Describe a link for `make_tar`."""
    info = tarfile.TarInfo()
    info.type, info.linkname = tarfile.LNKTYPE if hard else tarfile.SYMTYPE, to
    return info


def make_deb(*members: tuple[str, object], compression: str = "xz") -> bytes:
    """Return a Debian package (deb(5)) with these members of its data.tar."""
    data = make_tar(*members)
    packed = {"xz": lzma.compress, "gz": gzip.compress, "zst": bytes, "": bytes}[compression](data)
    suffix = f".{compression}" if compression else ""
    parts = [("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"), (f"data.tar{suffix}", packed)]
    return b"!<arch>\n" + b"".join(ar_member(name, body) for name, body in parts)


def ar_member(name: str, body: bytes, size: str = "") -> bytes:
    """Return a member of an ar archive; `size` overrides what its header says."""
    head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{size or len(body):<10}`\n".encode()
    return head + body + b"\n" * (len(body) % 2)


# The least that makes a runtime: a loader that shows how it is called, and a Python.
LOADER = b'#!/bin/sh\necho "$@"\n'
RUNTIME: tuple[tuple[str, object], ...] = (
    ("./lib64/ld-linux-x86-64.so.2", LOADER),
    ("./usr/bin/python3.11", b"\x7fELF not really"),
    ("./usr/lib/python3.11/os.py", b"name = 'posix'\n"),
)
