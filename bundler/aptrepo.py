"""A small apt repository in one directory: the lists that let plain apt-get install the debs of a bundle."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from bundler.errors import IntegrityError
from bundler.model.deb import LockedDeb
from bundler.run import run
from bundler.store import Store

_TIMEOUT_S = 60


def list_debs(debs: Sequence[LockedDeb], store: Store, *, created: str, architecture: str) -> dict[str, bytes]:
    """Return `Packages` and `Release` for debs that stand beside them; nothing for none.

    They carry no signature of their own: their digests stand in the signed manifest, as those of the debs do.

    Raises:
        IntegrityError: a package is not the one that the lock names.
        StepError: this host has no dpkg-deb, or a package cannot be read.
    """
    if not debs:
        return {}
    stanzas = [_stanza(deb, store.path(deb.sha256)) for deb in sorted(debs, key=lambda deb: deb.file_name)]
    packages = "\n".join(stanzas).encode()
    return {"Packages": packages, "Release": _release(packages, created, architecture)}


def _stanza(deb: LockedDeb, path: Path) -> str:
    """Return the package's own control fields, with where it stands and what it weighs."""
    control = run(["dpkg-deb", "--field", path], timeout_s=_TIMEOUT_S).stdout.strip("\n")
    fields = dict(line.split(": ", 1) for line in control.splitlines() if ": " in line and line[0] not in " \t#")
    got = tuple(fields.get(name, "") for name in ("Package", "Version", "Architecture"))
    if got != (deb.name, deb.version, deb.architecture):
        raise IntegrityError(f"expected {deb.name} {deb.version} {deb.architecture}, got {' '.join(got)}", place="debs")
    return f"{control}\nFilename: ./{deb.file_name}\nSize: {deb.size}\nSHA256: {deb.sha256}\n"


def _release(packages: bytes, created: str, architecture: str) -> bytes:
    date = datetime.fromisoformat(created).strftime("%a, %d %b %Y %H:%M:%S UTC")
    digest = hashlib.sha256(packages).hexdigest()
    lines = (
        "Origin: Ferry",
        "Label: Ferry",
        f"Date: {date}",
        f"Architectures: all {architecture}",
        "SHA256:",
        f" {digest} {len(packages)} Packages",
    )
    return "".join(f"{line}\n" for line in lines).encode()
