"""A root directory that holds the Python that runs here and nothing else, for payload code in a sandbox."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
BASE = Path(sys.base_prefix)
NOT_TAKEN = shutil.ignore_patterns(
    *("site-packages", "dist-packages", "test", "idlelib", "tkinter", "lib2to3", "ensurepip", "config-*", "__pycache__")
)
EXTENSIONS = ("_socket", "_struct", "_posixsubprocess", "_json", "_random", "_bisect", "binascii", "fcntl", "math")
MORE_EXTENSIONS = (
    "select",
    "array",
    "zlib",
    "_ctypes",
    "_datetime",
    "_heapq",
    "_contextvars",
    "unicodedata",
    "_pickle",
)


def unshared(*words: str) -> bool:
    """Say whether a program runs in a network namespace of its own here."""
    done = subprocess.run(["unshare", "--net", *words], capture_output=True, timeout=30, check=False)
    return done.returncode == 0


def make_root(root: Path) -> Path:
    """Make the root directory."""
    library, version = Path(sysconfig.get_path("stdlib")), f"python{PYTHON}"
    program = (BASE / "bin" / version).resolve()
    inside = root / BASE.relative_to("/")
    shutil.copytree(library, inside / "lib" / version, ignore=NOT_TAKEN)
    found = [program, *_extensions(library)]
    for path in {library_ for one in found for library_ in _libraries(one)}:
        place = root / path.relative_to("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    (inside / "bin").mkdir()
    shutil.copy(program, inside / "bin" / version)
    (root / "usr/bin").mkdir(parents=True, exist_ok=True)
    for name in (version, "python3"):
        if not (root / "usr/bin" / name).exists():
            (root / "usr/bin" / name).symlink_to(BASE / "bin" / version)
    (root / "tmp").mkdir()
    return root


def _extensions(library: Path) -> list[Path]:
    names = (*EXTENSIONS, *MORE_EXTENSIONS)
    return [path for path in (library / "lib-dynload").glob("*.so") if path.name.partition(".")[0] in names]


def _libraries(program: Path) -> list[Path]:
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, timeout=30, check=True).stdout
    return [Path(path) for path in re.findall(r"(/\S+) \(0x", listed)]


def hard_link(source: str, target: str) -> None:
    """Copy a file for `shutil.copytree` at no cost."""
    Path(target).hardlink_to(source)
