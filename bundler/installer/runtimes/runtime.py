"""What a container runtime must do for Ferry, and how it calls images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bundler.model.manifest import Item
from bundler.run import run
from bundler.store import Store

LOAD_TIMEOUT_S = 3600
ASK_TIMEOUT_S = 120


class Runtime(Protocol):
    """Images by name. A digest is that of the image's configuration, or of what its name leads to, in hex."""

    @property
    def name(self) -> str:
        """What this runtime is called."""

    def names(self, item: Item) -> tuple[str, ...]:
        """Return the names of an image as this runtime can have them."""

    def images(self) -> dict[str, str]:
        """Return the digest behind each name."""

    def load(self, items: Sequence[Item], store: Store, work: Path) -> None:
        """Load images from a store under all their names; `work` is a place for a small directory."""

    def tag(self, name: str, more: str) -> None:
        """Give an image one name more; what had that name before loses it."""

    def remove(self, name: str) -> None:
        """Take a name away, and with its last name the image."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandLine:
    """What `docker` and `podman` have in common: `program` is either."""

    program: str

    def tag(self, name: str, more: str) -> None:
        """Give an image one name more.

        Raises:
            StepError: it is not there.
        """
        run([self.program, "tag", name, more], timeout_s=ASK_TIMEOUT_S)

    def remove(self, name: str) -> None:
        """Remove a name, and with its last name the image.

        Raises:
            StepError: a container uses the image.
        """
        run([self.program, "rmi", name], timeout_s=ASK_TIMEOUT_S)


def tagged(name: str) -> str:
    """Return a name by tag: runtimes that name by tag alone find an image by digest in a repository that they have."""
    repository, at, digest = name.partition("@sha256:")
    return f"{repository}:sha256-{digest}" if at else name


def has(item: Item, digest: str | None) -> bool:
    """Say whether a digest that a runtime gives is that of an image."""
    return digest is not None and digest in (item.config, item.descriptor.sha256)
