"""Distributions of a package index, as a lock names them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from packaging.utils import canonicalize_name

from bundler.model.document import LINE, LINE_WORDS, Fields, describe
from bundler.model.path import relative_path
from bundler.model.platform import Platform, take_platforms

# PEP 508 and PEP 440; these two become a line of a requirements file.
_DISTRIBUTION = "[0-9A-Za-z]([0-9A-Za-z._-]*[0-9A-Za-z])?"
_VERSION = "[0-9A-Za-z][0-9A-Za-z.!+_-]*"
# What an environment variable can be named after.
_INDEX = "[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_INDEX_WORDS = "the name of an index in lower-case letters, digits and hyphens"
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
    """One distribution of a package index at one version.

    `why` names what pulled it: requirements of the recipe as they stand there, `-r FILE` for its requirements files,
    and packages of the same lock by name. `index` is the one that the recipe takes it from, by its name.
    """

    name: str
    version: str
    files: tuple[LockedFile, ...]
    why: tuple[str, ...] = ()
    index: str = ""

    def file_for(self, platform: Platform) -> LockedFile | None:
        """Return the file that serves `platform`, if the package is wanted there."""
        return next((file for file in self.files if platform in file.platforms), None)


def locked_package(fields: Fields) -> LockedPackage:
    """Take one distribution from a lock."""
    return LockedPackage(
        name=fields.text("name", match=_DISTRIBUTION, what="the name of a distribution"),
        version=fields.text("version", match=_VERSION, what="the version of a distribution"),
        files=fields.each("files", _locked_file),
        why=fields.texts("why", [], match=LINE, what=LINE_WORDS),
        index=fields.text("index", "", match=_INDEX, what=_INDEX_WORDS),
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
    document: dict[str, Any] = {"name": package.name, "version": package.version, "files": files}
    document |= {"why": list(package.why)} if package.why else {}
    return document | ({"index": package.index} if package.index else {})


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedInput:
    """A file of requirements or constraints that a lock was made with: its path beside the recipe, and its SHA-256."""

    path: str
    sha256: str


def locked_input(fields: Fields) -> LockedInput:
    """Take one file of requirements from a lock."""
    return LockedInput(path=relative_path(fields, "path"), sha256=fields.hex("sha256"))


def index_names(fields: Fields) -> tuple[tuple[str, str], ...]:
    """Take the indexes that a recipe takes single packages from: (package, name of the index), sorted."""
    pairs: dict[str, str] = {}
    for package, index in fields.pairs("indexes", {}):
        if not re.fullmatch(_DISTRIBUTION, package):
            raise fields.refuse("indexes", f"expected the name of a distribution, got {describe(package)}")
        if not re.fullmatch(_INDEX, index):
            # What stands there may be a URL with a login in it, and is not repeated.
            hint = "a recipe names an index, and each builder configures its URL: FERRY_INDEX_NAME"
            raise fields.refuse("indexes", f"expected {_INDEX_WORDS} for {describe(package)}", hint)
        if pairs.setdefault(canonicalize_name(package), index) != index:
            raise fields.refuse("indexes", f"{describe(package)} stands twice")
    return tuple(sorted(pairs.items()))
