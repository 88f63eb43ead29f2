"""Platforms and what each ecosystem calls them."""

from __future__ import annotations

from dataclasses import dataclass

from bundler.errors import RecipeError
from bundler.model.document import Fields


@dataclass(frozen=True, kw_only=True, slots=True)
class Platform:
    """One operating system and processor architecture, named as OCI names it."""

    os: str
    architecture: str

    def __str__(self) -> str:
        return f"{self.os}/{self.architecture}"

    @property
    def machine(self) -> str:
        """The name that `uname -m` and wheel tags use."""
        return _MACHINES[self.architecture]

    @property
    def debian(self) -> str:
        """The name that dpkg uses."""
        return self.architecture

    @property
    def triplet(self) -> str:
        """The name of the library directory on Debian."""
        return f"{self.machine}-linux-gnu"

    @property
    def loader(self) -> str:
        """Path of the dynamic loader below a root, as the ELF ABI fixes it."""
        return _LOADERS[self.architecture]


_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_LOADERS = {"amd64": "lib64/ld-linux-x86-64.so.2", "arm64": "lib/ld-linux-aarch64.so.1"}

PLATFORMS = tuple(Platform(os="linux", architecture=name) for name in _MACHINES)


def parse_platform(text: str, *, place: str = "platform") -> Platform:
    """Parse `linux/amd64` or `linux/arm64`.

    Raises:
        RecipeError: any other text.
    """
    for platform in PLATFORMS:
        if str(platform) == text:
            return platform
    known = ", ".join(f'"{platform}"' for platform in PLATFORMS)
    raise RecipeError(f'expected one of {known}, got "{text}"', place=place)


def platform_of_machine(machine: str) -> Platform | None:
    """Return the platform that `uname -m` names, or None for one that Ferry does not carry."""
    return next((platform for platform in PLATFORMS if platform.machine == machine), None)


def take_platforms(fields: Fields) -> tuple[Platform, ...]:
    """Take `platforms`, each once.

    Raises:
        the error of `fields`: none is there, or one is not known.
    """
    names = fields.texts("platforms")
    if not names:
        raise fields.refuse("platforms", 'expected at least one platform, such as "linux/amd64", got none')
    if len(set(names)) != len(names):
        raise fields.refuse("platforms", "a platform stands twice")
    return tuple(parse_platform(name, place=f"{fields.place('platforms')}[{i}]") for i, name in enumerate(names))
