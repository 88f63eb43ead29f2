"""containerd: it reads a tar, and keeps manifests, indexes and names as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.installer.runtimes.runtime import ASK_TIMEOUT_S, LOAD_TIMEOUT_S
from bundler.installer.runtimes.stream import write_layout
from bundler.model.manifest import Item
from bundler.run import feed, run
from bundler.store import Store


@dataclass(frozen=True, kw_only=True, slots=True)
class Containerd:
    """containerd of this host, by `ctr`; Kubernetes has its images in a namespace of its own."""

    program: str
    namespace: str

    @property
    def name(self) -> str:
        """The runtime with its namespace."""
        return f"containerd/{self.namespace}"

    def names(self, item: Item) -> tuple[str, ...]:
        """Return names as they are."""
        return item.names

    def images(self) -> dict[str, str]:
        """Return the digest of what each name leads to.

        Raises:
            StepError: containerd does not answer.
        """
        rows = [line.split() for line in self._ctr("list").splitlines()[1:]]
        return {row[0]: row[2].removeprefix("sha256:") for row in rows if len(row) > 2}

    def load(self, items: Sequence[Item], store: Store, work: Path) -> None:
        """Load all images in one stream; layers are unpacked when a container first needs them.

        Raises:
            StepError: containerd does not take it.
        """
        argv = [self.program, "--namespace", self.namespace, "images", "import", "--no-unpack", "-"]
        feed(argv, lambda out: write_layout(out, items, store), timeout_s=LOAD_TIMEOUT_S)

    def tag(self, name: str, more: str) -> None:
        """Give an image one name more.

        Raises:
            StepError: it is not there.
        """
        self._ctr("tag", "--force", name, more)

    def remove(self, name: str) -> None:
        """Remove a name; what no name leads to goes.

        Raises:
            StepError: containerd does not answer.
        """
        self._ctr("remove", "--sync", name)

    def _ctr(self, *words: str) -> str:
        argv = [self.program, "--namespace", self.namespace, "images", *words]
        return run(argv, timeout_s=ASK_TIMEOUT_S).stdout
