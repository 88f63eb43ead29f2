"""podman (and CRI-O, which shares its storage): it reads a layout whose blobs are the store's own."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import StepError
from bundler.installer.layout import Layout
from bundler.installer.runtimes.runtime import ASK_TIMEOUT_S, LOAD_TIMEOUT_S, CommandLine, tagged
from bundler.installer.runtimes.stream import layout_index
from bundler.model.document import Fields
from bundler.model.manifest import Item
from bundler.run import run
from bundler.store import OCI_LAYOUT, Store

_POLICY = "/etc/containers/policy.json"
_STORAGE = "/var/lib/containers/storage"
_GRAPH_ROOT = re.compile(r'^\s*graphroot\s*=\s*"([^"]+)"', re.MULTILINE)
# For a host without a policy of its own: what comes out of Ferry's store was checked against a signed manifest.
_ACCEPT_LAYOUTS = {
    "default": [{"type": "reject"}],
    "transports": {"oci": {"": [{"type": "insecureAcceptAnything"}]}},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Podman(CommandLine):
    """podman of this host, by its command line."""

    layout: Layout
    name: str = "podman"

    def names(self, item: Item) -> tuple[str, ...]:
        """Return names by tag: podman derives those by digest."""
        return tuple(map(tagged, item.names))

    def images(self) -> dict[str, str]:
        """Return the id, the configuration's digest, behind each name.

        Raises:
            StepError: podman does not answer.
        """
        # Whoever asks a podman that was never used makes it create its storage.
        storage = self._storage()
        if not storage.is_dir() or not any(storage.iterdir()):
            return {}
        text = run([self.program, "images", "--no-trunc", "--format", "json"], timeout_s=ASK_TIMEOUT_S).stdout
        try:
            listed = {"images": json.loads(text or "[]") or []}
        except ValueError as error:
            raise StepError("expected JSON from `podman images`, got something else") from error
        found: dict[str, str] = {}
        for place, value in Fields(listed, place="podman images", error=StepError).items("images"):
            one = Fields(value, place=place, error=StepError)
            names = () if one.nothing("Names") else one.texts("Names", [])
            found |= dict.fromkeys(names, one.text("Id").removeprefix("sha256:"))
        return found

    def forget(self) -> None:
        """Remove the whole storage, where nothing is in it; what podman once used is there for ever otherwise.

        Raises:
            StepError: podman does not answer.
        """
        argv = [self.program, "ps", "--all", "--quiet", "--external"]
        if self.images() or run(argv, timeout_s=ASK_TIMEOUT_S).stdout.strip():
            return
        # It would leave an empty configuration in the administrator's home.
        with tempfile.TemporaryDirectory(prefix="ferry-podman-") as home:
            environment = {"HOME": home, "XDG_CONFIG_HOME": home}
            run([self.program, "system", "reset", "--force"], timeout_s=LOAD_TIMEOUT_S, environment=environment)
        for path in (_STORAGE, "/var/lib/containers/cache"):
            shutil.rmtree(self.layout.at(path), ignore_errors=True)
        self.layout.at("/etc/cni/net.d/cni.lock").unlink(missing_ok=True)

    def _storage(self) -> Path:
        try:
            match = _GRAPH_ROOT.search(self.layout.at("/etc/containers/storage.conf").read_text())
        except OSError:
            match = None
        return self.layout.at(match[1] if match else _STORAGE)

    def load(self, items: Sequence[Item], store: Store, work: Path) -> None:
        """Load images one by one from a layout that lists only that one: podman 4 finds no other of Docker's types.

        Raises:
            StepError: podman does not take it.
        """
        for item in items:
            self._write_layout(item, store, work)
            before = self.images()
            argv = [self.program, "pull", "--quiet", *self._policy(work), f"oci:{work}"]
            run(argv, timeout_s=LOAD_TIMEOUT_S)
            for name in self.names(item):
                self.tag(item.config, name)
            # What podman calls it by itself, after the directory.
            for name, digest in self.images().items():
                if digest == item.config and name not in before and name not in self.names(item):
                    run([self.program, "untag", item.config, name], timeout_s=ASK_TIMEOUT_S)
            shutil.rmtree(work)

    def _write_layout(self, item: Item, store: Store, work: Path) -> None:
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        (work / "oci-layout").write_bytes(OCI_LAYOUT)
        (work / "index.json").write_bytes(layout_index([item], named=False))
        (work / "blobs").symlink_to(store.root / "blobs")

    def _policy(self, work: Path) -> list[str]:
        if self.layout.at(_POLICY).exists():
            return []
        own = work / "policy.json"
        own.write_text(json.dumps(_ACCEPT_LAYOUTS))
        return [f"--signature-policy={own}"]
