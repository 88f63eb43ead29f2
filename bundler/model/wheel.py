"""Distributions of a package index, as a lock names them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bundler.model.document import Fields
from bundler.model.platform import Platform, take_platforms

# PEP 508 and PEP 440; these two become a line of a requirements file.
_DISTRIBUTION = "[0-9A-Za-z]([0-9A-Za-z._-]*[0-9A-Za-z])?"
_VERSION = "[0-9A-Za-z][0-9A-Za-z.!+_-]*"
_FILE = r"[0-9A-Za-z][0-9A-Za-z_.+!-]*\.(whl|tar\.gz|zip)"


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedFile:
    """A file of a package index or archive: its name, size in bytes, SHA-256, and the platforms it serves."""

    name: str
    size: int
    sha256: str
    platforms: tuple[Platform, ...]

    @property
    def is_sdist(self) -> bool:
        """Whether a wheel must be built from it."""
        return not self.name.endswith(".whl")


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedPackage:
    """One distribution of a package index at one version."""

    name: str
    version: str
    files: tuple[LockedFile, ...]

    def file_for(self, platform: Platform) -> LockedFile | None:
        """Return the file that serves `platform`, if the package is wanted there."""
        return next((file for file in self.files if platform in file.platforms), None)


def locked_package(fields: Fields) -> LockedPackage:
    """Take one distribution from a lock."""
    return LockedPackage(
        name=fields.text("name", match=_DISTRIBUTION, what="the name of a distribution"),
        version=fields.text("version", match=_VERSION, what="the version of a distribution"),
        files=fields.each("files", _locked_file),
    )


def _locked_file(fields: Fields) -> LockedFile:
    return LockedFile(
        name=fields.text("name", match=_FILE, what="the file name of a wheel or sdist"),
        size=fields.integer("size", least=1),
        sha256=fields.hex("sha256"),
        platforms=take_platforms(fields),
    )


def locked_package_document(package: LockedPackage) -> dict[str, Any]:
    """Return a distribution as it stands in a lock."""
    files = [
        {
            "name": file.name,
            "size": file.size,
            "sha256": file.sha256,
            "platforms": [str(p) for p in file.platforms],
        }
        for file in package.files
    ]
    return {"name": package.name, "version": package.version, "files": files}
