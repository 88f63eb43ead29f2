"""Ferry's own wheel, made from the code that is running, so that a bundle carries the Ferry that built it."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

DISTRIBUTION = "ferry-airgap"
_PACKAGES = ("bundler", "keystore")
_TAKEN = {".py", ".sh", ".typed", ".json", ".yml"}
_TIME = (2020, 1, 1, 0, 0, 0)


def ferry_version() -> str:
    """Return the version of the Ferry that is running."""
    return version(DISTRIBUTION)


def make_own_wheel() -> tuple[str, bytes]:
    """Return file name and bytes of a wheel of this Ferry (PEP 427); the same code gives the same bytes."""
    number = ferry_version()
    stem = f"ferry_airgap-{number}"
    info = f"{stem}.dist-info"
    files = dict(_sources())
    files[f"{info}/METADATA"] = f"Metadata-Version: 2.1\nName: {DISTRIBUTION}\nVersion: {number}\n".encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: ferry\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{info}/entry_points.txt"] = b"[console_scripts]\nferry = bundler.cli:main\n"
    files[f"{info}/RECORD"] = _record(files, f"{info}/RECORD")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            member = zipfile.ZipInfo(name, _TIME)
            member.external_attr = 0o100644 << 16
            archive.writestr(member, data)
    return f"{stem}-py3-none-any.whl", out.getvalue()


def _sources() -> Iterator[tuple[str, bytes]]:
    top = Path(__file__).resolve().parent.parent
    for package in _PACKAGES:
        for path in sorted((top / package).rglob("*")):
            if path.suffix in _TAKEN and path.is_file() and "__pycache__" not in path.parts:
                yield path.relative_to(top).as_posix(), path.read_bytes()


def _record(files: dict[str, bytes], own: str) -> bytes:
    lines = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{name},sha256={digest},{len(data)}")
    return ("\n".join([*lines, f"{own},,"]) + "\n").encode()
