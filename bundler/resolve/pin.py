"""What files of requirements pin."""

from __future__ import annotations

from dataclasses import dataclass

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bundler.model.wheel import LockedInput


@dataclass(frozen=True, kw_only=True, slots=True)
class Pin:
    """One requirement of a file: the SHA-256 of the files that may answer it, and where it stands.

    `groups` are the dependency groups that its marker is judged with (PEP 751).
    """

    requirement: Requirement
    hashes: frozenset[str]
    place: str
    file: str
    groups: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The name of the distribution, normalised."""
        return canonicalize_name(self.requirement.name)

    @property
    def version(self) -> str | None:
        """The one version that it asks for, or None."""
        found = [one for one in self.requirement.specifier if one.operator == "==" and not one.version.endswith("*")]
        return found[0].version if len(found) == len(self.requirement.specifier) == 1 else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirements:
    """What files of requirements say: pins, all exact and with hashes; constraints; and the files that were read."""

    pins: tuple[Pin, ...] = ()
    constraints: tuple[Pin, ...] = ()
    inputs: tuple[LockedInput, ...] = ()
