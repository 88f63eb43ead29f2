"""Fetch files into a store as a build does: `python fetch_files.py STORE [URL SHA256 SIZE]...`.

Prints the peak of memory in KiB.
"""

from __future__ import annotations

import sys
from pathlib import Path

from stream import peak_kib
from values import lock

from bundler.cli.progress import Shown
from bundler.fetch import fetch
from bundler.model.files import LockedPath
from bundler.model.platform import PLATFORMS
from bundler.store import Store


def main() -> None:
    """Fetch."""
    root, *words = sys.argv[1:]
    files = [
        LockedPath(path="", url=url, to=f"srv/{sha256}", size=int(size), sha256=sha256, executable=False)
        for url, sha256, size in zip(words[::3], words[1::3], words[2::3], strict=True)
    ]
    with Shown() as progress:
        fetch(lock(*files), PLATFORMS[0], Store(Path(root)), directory=Path(root), progress=progress)
    print(peak_kib())


if __name__ == "__main__":
    main()
