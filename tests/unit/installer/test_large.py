"""Model weights on a host: once on its disk, planned as such, gone after an uninstall."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bundles import packed, small_manifest
from hosts import PYTHON, Host, host_manifest

from bundler.installer.facts import gather
from bundler.installer.plan import tree_bytes
from bundler.installer.uninstall import uninstall
from bundler.installer.wanted import want
from bundler.model.manifest import Manifest
from bundler.place import SHARED_ABOVE_BYTES
from bundler.verify import read_trust

LARGE = bytes(SHARED_ABOVE_BYTES) + b"the end"


def manifest_with_weights(work: Path) -> tuple[Manifest, dict[str, bytes]]:
    manifest, contents = host_manifest(work, [])
    more, more_contents = small_manifest([LARGE])
    item = replace(more.items[0], name="srv/models/m/model.bin", to="srv/models/m/model.bin")
    items, entries = (*manifest.items, item), (*manifest.entries, more.entries[-1])
    return replace(manifest, items=items, entries=entries), {**more_contents, **contents}


def test_weights_stand_once_on_the_disk(host: Host, tmp_path: Path) -> None:
    manifest, contents = manifest_with_weights(tmp_path)
    outcome = host.install(packed(manifest, contents))
    placed = host.layout.current / "root/srv/models/m/model.bin"
    assert placed.read_bytes() == LARGE
    blob = host.layout.store / "blobs/sha256" / manifest.items[-1].descriptor.sha256
    assert placed.samefile(blob) or placed.stat().st_nlink == 1
    assert outcome.plan.tree_bytes < len(LARGE) < outcome.plan.store_bytes
    uninstall(host.layout, host.systemd)
    assert not blob.exists()
    assert not placed.exists()


def test_two_file_systems_need_room_for_two(host: Host, tmp_path: Path) -> None:
    manifest, _ = manifest_with_weights(tmp_path)
    facts = gather(host.layout, host.systemd)
    wanted = want(manifest, "0" * 64, read_trust(host.trust), facts, changes={}, python=PYTHON)
    other = replace(facts, programs_space=replace(facts.programs_space, device=facts.store_space.device + 1))
    blocks = -(-len(LARGE) // 4096) * 4096
    assert tree_bytes(wanted, other) - tree_bytes(wanted, facts) == blocks
    program = replace(manifest, items=(*manifest.items[:-1], replace(manifest.items[-1], executable=True)))
    assert tree_bytes(replace(wanted, manifest=program), facts) == tree_bytes(wanted, other)
