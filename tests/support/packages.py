"""Debian packages without content, made by dpkg-deb, and what belongs to them in a lock and in a bundle."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bundler.model.deb import LockedDeb
from bundler.model.platform import PLATFORMS


def make_deb(
    work: Path, name: str, version: str, *, files: Sequence[str] = (), sums: bool = True, **fields: str
) -> tuple[LockedDeb, Path]:
    """Make a package for every architecture with further control fields (`Depends`, `Breaks` ...) and files.

    With `sums`, what is below /etc counts as configuration and the rest is listed in md5sums: so do Debian's own.
    """
    tree = work / f"{name}-{version}"
    for file in files:
        (tree / file).parent.mkdir(parents=True, exist_ok=True)
        (tree / file).write_text(f"# {file}\n")
    (tree / "DEBIAN").mkdir(parents=True)
    control = {"Package": name, "Version": version, "Architecture": "all", "Maintainer": "A <a@b.example>"}
    control |= {**fields, "Description": "A sample\n in two lines"}
    (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
    if files and sums:
        kept = [f"/{file}\n" for file in files if file.startswith("etc/")]
        sums = [f"{'0' * 32}  {file}\n" for file in files if not file.startswith("etc/")]
        (tree / "DEBIAN/conffiles").write_text("".join(kept))
        (tree / "DEBIAN/md5sums").write_text("".join(sums))
    path = work / f"{name}_{version}_all.deb"
    subprocess.run(["dpkg-deb", "--build", "--root-owner-group", tree, path], check=True, capture_output=True)
    data = path.read_bytes()
    deb = LockedDeb(
        name=name,
        version=version,
        architecture="all",
        path=f"pool/main/{name}.deb",
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        platform=PLATFORMS[0],
        suite="bookworm",
    )
    return deb, path
