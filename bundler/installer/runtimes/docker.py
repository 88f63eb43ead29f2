"""Docker: it reads a tar, by `manifest.json` in its own storage, by `index.json` in that of containerd."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.installer.runtimes.runtime import ASK_TIMEOUT_S, LOAD_TIMEOUT_S, CommandLine, tagged
from bundler.installer.runtimes.stream import write_layout
from bundler.model.manifest import Item
from bundler.model.reference import HUB
from bundler.run import feed, run
from bundler.store import Store

_FORMAT = "{{.Repository}}:{{.Tag}} {{.ID}}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Docker(CommandLine):
    """Docker of this host, by its command line."""

    name: str = "docker"

    def names(self, item: Item) -> tuple[str, ...]:
        """Return names by tag: Docker gives those by digest only to what it pulled."""
        return tuple(map(tagged, item.names))

    def images(self) -> dict[str, str]:
        """Return the id behind each name: the configuration's digest, or that of what the name leads to.

        Raises:
            StepError: Docker does not answer.
        """
        argv = [self.program, "images", "--no-trunc", "--format", _FORMAT]
        rows = [line.split(" ") for line in run(argv, timeout_s=ASK_TIMEOUT_S).stdout.splitlines()]
        named = [row for row in rows if len(row) == 2 and "<none>" not in row[0]]
        return {in_full(name): digest.removeprefix("sha256:") for name, digest in named}

    def load(self, items: Sequence[Item], store: Store, work: Path) -> None:
        """Load all images in one stream.

        Raises:
            StepError: Docker does not take it.
        """
        tags = [self.names(item) for item in items]
        argv = [self.program, "load", "--quiet"]
        feed(argv, lambda out: write_layout(out, items, store, tags=tags), timeout_s=LOAD_TIMEOUT_S)


def in_full(name: str) -> str:
    """Return a name with the host and directory that Docker leaves out."""
    first, slash, _ = name.partition("/")
    if slash and (first == "localhost" or "." in first or ":" in first):
        return name
    return f"{HUB}/{name}" if slash else f"{HUB}/library/{name}"
