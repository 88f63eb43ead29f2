"""Wheels into a tree: the same bytes in an image's layer and on a host."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path, PurePosixPath
from typing import BinaryIO
from zipfile import BadZipFile, ZipFile

from installer import install
from installer.destinations import SchemeDictionaryDestination
from installer.exceptions import InstallerError
from installer.records import RecordEntry
from installer.sources import WheelFile
from installer.utils import Scheme

from bundler.errors import IntegrityError
from bundler.tree import most_bytes

# Starts the Python of the tree that the script stands in, wherever that tree is.
_LAUNCHER = """\
#!/bin/sh
exec "${{0%/local/bin/*}}/bin/python{version}" \\
  -c 'import sys; from {module} import {first} as _; sys.exit(_{rest}())' "$@"
"""


def packages_directory(python: str) -> str:
    """Return where Debian's Python looks for added packages, below the root of its tree."""
    return f"usr/local/lib/python{python}/dist-packages"


# Below this, processes take longer to start than the work does.
_WORTH_PROCESSES_BYTES = 8 * 1024 * 1024


class _Destination(SchemeDictionaryDestination):
    """A destination whose scripts find their Python by their own place."""

    python = "3.11"

    def write_to_fs(self, scheme: Scheme, path: str, stream: BinaryIO, is_executable: bool) -> RecordEntry:
        # Not every release of installer that we accept looks at this itself.
        if path.startswith("/") or ".." in PurePosixPath(path).parts:
            raise ValueError(f'"{path}" leads out of the tree')
        # Namespace packages share directories, and another process may make one at this moment.
        self._path_with_destdir(scheme, path).parent.mkdir(parents=True, exist_ok=True)
        return super().write_to_fs(scheme, path, stream, is_executable)

    def write_script(self, name: str, module: str, attr: str, section: str) -> RecordEntry:
        first, dot, rest = attr.partition(".")
        text = _LAUNCHER.format(version=self.python, module=module, first=first, rest=dot + rest)
        return self.write_to_fs(Scheme("scripts"), name, BytesIO(text.encode()), is_executable=True)


def install_wheels(
    wheels: Sequence[tuple[str, Path]],
    root: Path,
    python: str,
    advance: Callable[[int], None] = lambda count: None,
) -> None:
    """Install wheels, given as (file name, path), into the tree at `root`, on all cores.

    The wheels are trusted: their digests were checked. Bytecode is not compiled.

    Raises:
        IntegrityError: a file is no wheel, or two wheels bring the same file.
    """
    workers = min(os.cpu_count() or 1, len(wheels))
    if workers <= 1 or sum(path.stat().st_size for _, path in wheels) < _WORTH_PROCESSES_BYTES:
        for wheel in wheels:
            advance(_install(wheel, root, python))
        return
    largest_first = sorted(wheels, key=lambda wheel: -wheel[1].stat().st_size)
    # Spawned and not forked: a fork of a process with threads (a progress bar has one) may never come to life.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for done in [pool.submit(_install, wheel, root, python) for wheel in largest_first]:
            advance(done.result())


def _install(wheel: tuple[str, Path], root: Path, python: str) -> int:
    name, path = wheel
    packages = str(root / packages_directory(python))
    scheme = {
        "purelib": packages,
        "platlib": packages,
        "headers": str(root / "usr/local/include" / name.split("-")[0]),
        "scripts": str(root / "usr/local/bin"),
        "data": str(root / "usr/local"),
    }
    destination = _Destination(scheme, interpreter=f"/usr/bin/python{python}", script_kind="posix")
    destination.python = python
    try:
        _check_bomb(path)
        # A blob has no file name of its own, and a wheel's name is part of what it is.
        with _open_wheel(name, path) as source:
            install(source, destination, additional_metadata={"INSTALLER": b"ferry\n"})
    except (InstallerError, BadZipFile, FileExistsError, KeyError, ValueError) as error:
        raise IntegrityError(f"the wheel cannot be installed: {error}", place=name) from error
    return path.stat().st_size


def _check_bomb(path: Path) -> None:
    """Refuse a wheel whose files say that they are far larger than it; none becomes larger than it says."""
    packed_bytes = path.stat().st_size
    with ZipFile(path) as archive:
        unpacked_bytes = sum(member.file_size for member in archive.infolist())
    if unpacked_bytes > (most := most_bytes(packed_bytes)):
        raise ValueError(f"expected {packed_bytes} bytes to unpack to at most {most}, got {unpacked_bytes}")


class _open_wheel:  # noqa: N801 (used as a with-statement, like open)
    def __init__(self, name: str, path: Path) -> None:
        self._zip = ZipFile(path)
        # WheelFile takes the distribution's name and version from the file name.
        self._zip.filename = name

    def __enter__(self) -> WheelFile:
        return WheelFile(self._zip)

    def __exit__(self, *_: object) -> None:
        self._zip.close()
