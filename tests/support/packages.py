"""Debian packages without content, made by dpkg-deb, and what belongs to them in a lock and in a bundle."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from bundler.model.deb import LockedDeb
from bundler.model.platform import PLATFORMS


def make_deb(work: Path, name: str, version: str, **fields: str) -> tuple[LockedDeb, Path]:
    """Make a package for every architecture with further control fields (`Depends`, `Breaks` ...)."""
    tree = work / f"{name}-{version}"
    (tree / "DEBIAN").mkdir(parents=True)
    control = {"Package": name, "Version": version, "Architecture": "all", "Maintainer": "A <a@b.example>"}
    control |= {**fields, "Description": "A sample\n in two lines"}
    (tree / "DEBIAN/control").write_text("".join(f"{key}: {value}\n" for key, value in control.items()))
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
