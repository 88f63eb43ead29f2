"""A recipe: what its author wants to carry across."""

from __future__ import annotations

from dataclasses import dataclass

from bundler.model.egress import Allowed
from bundler.model.image import RegistryImage
from bundler.model.platform import Platform
from bundler.model.service import Service


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonSource:
    """Where the Python runtime comes from: a suite of Debian and the packages that make it up.

    `version` is the minor version (`3.11`) that wheels are chosen for.
    """

    version: str
    suite: str
    packages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DebSource:
    """Packages of a Debian suite that are wanted on the isolated host itself."""

    suite: str
    packages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class FileSource:
    """Files from one place, and where they stand below the root of the installation.

    Either `path` (a file, directory or glob beside the recipe; absolute with `outside`; with `weights` a directory of
    a model, checked to be whole) or `url`. `image` says whether composed images hold them; None leaves it to the size.
    """

    to: str
    path: str = ""
    outside: bool = False
    weights: bool = False
    url: str = ""
    sha256: str = ""
    size: int | None = None
    executable: bool = False
    purl: str = ""
    image: bool | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ComposedImage:
    """A container image that Ferry composes from the locked parts: runtime, wheels, files."""

    reference: str
    service: str
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What one bundle is made from.

    `as_of` is a date: nothing that was published later is taken. `valid_days` is how long after its lock was
    made a bundle is accepted, 0 for no end. `sequence` grows with every release of the product.
    """

    name: str
    version: str
    description: str
    sequence: int
    as_of: str
    valid_days: int
    platforms: tuple[Platform, ...]
    python: PythonSource
    wheels: tuple[str, ...]
    files: tuple[FileSource, ...]
    images: tuple[ComposedImage | RegistryImage, ...]
    services: tuple[Service, ...]
    sha256: str
    debs: tuple[DebSource, ...] = ()
    egress: tuple[Allowed, ...] = ()
