"""A lock: what exactly answers a recipe, file by file, with no host name in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bundler.model.image import LockedImage
from bundler.model.platform import Platform

# What recipes share stands beside their directories.
SHARED = "shared"


def source_root(directory: Path, *, shared: bool) -> Path:
    """Return the directory that relative paths of a recipe start from; `directory` is the recipe's."""
    return directory / ".." / SHARED if shared else directory


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


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedDeb:
    """One Debian package; `path` is its place below an archive's base.

    `suite` is empty for packages of the runtime, which has one suite for all.
    """

    name: str
    version: str
    architecture: str
    path: str
    size: int
    sha256: str
    platform: Platform
    suite: str = ""

    @property
    def file_name(self) -> str:
        """The name that apt gives its file."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedPath:
    """One regular file, and its place below the root of the installation.

    It comes from `url`, or from `path`: beside the recipe, in what recipes share or, if absolute, anywhere on the
    builder. `image` says whether composed images hold it.
    """

    path: str
    to: str
    size: int
    sha256: str
    executable: bool
    url: str = ""
    image: bool = True
    purl: str = ""
    shared: bool = False

    @property
    def name(self) -> str:
        """What it is called outside the builder: an absolute path is the business of that host alone."""
        if self.url or self.path.startswith("/"):
            return self.to
        return f"{SHARED}/{self.path}" if self.shared else self.path

    def below(self, directory: Path) -> Path:
        """Return where it stands on the builder; `directory` is the recipe's."""
        return source_root(directory, shared=self.shared) / self.path


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedTarget:
    """An isolated host that a lock was checked against; the SHA-256 is that of its description."""

    name: str
    os: str
    version: str
    machine: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lock:
    """What a recipe resolved to, for every platform it names.

    `created` is the moment of resolution (RFC 3339, UTC, seconds); every date in a bundle comes from it.
    `toolchain` are the wheels of the installer itself, `build` those that sdists are built with;
    `debs` make the Python runtime, `os_debs` are installed on the isolated host.
    """

    name: str
    version: str
    recipe_sha256: str
    as_of: str
    created: str
    python_version: str
    python_suite: str
    platforms: tuple[Platform, ...]
    debs: tuple[LockedDeb, ...]
    wheels: tuple[LockedPackage, ...]
    build: tuple[LockedPackage, ...]
    toolchain: tuple[LockedPackage, ...]
    files: tuple[LockedPath, ...]
    sha256: str
    sm3: str
    images: tuple[LockedImage, ...] = ()
    targets: tuple[LockedTarget, ...] = ()
    os_debs: tuple[LockedDeb, ...] = ()
