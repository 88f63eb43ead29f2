"""Step `release`: the tree that the services run from, made beside its place and renamed when it is whole."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from bundler.errors import IntegrityError
from bundler.installer.facts import Facts
from bundler.installer.release import Release, format_release
from bundler.installer.steps.step import Action, Job
from bundler.installer.steps.store import keep_head
from bundler.installer.wanted import Wanted
from bundler.model.manifest import Item
from bundler.place import place_blob
from bundler.run import run
from bundler.store import Store, in_threads, write_file
from bundler.tree import unpack_layer
from bundler.wheels import install_wheels

NAME = "release"
NEW = ".new-"
_SYNC_TIMEOUT_S = 1800
# What stands in the tree as it came, at the item's `to`.
_PLACED = ("file", "chart")


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when there is no whole tree of this bundle."""
    whole = [release for release in facts.releases if release.number in facts.trees]
    if any(release.manifest_sha256 == wanted.manifest_sha256 for release in whole):
        return None
    manifest = wanted.manifest
    return Action(step=NAME, reason=f"{manifest.name} {manifest.version} is not unpacked on this host")


def apply(job: Job) -> None:
    """Make the tree, wait until the disk has it, give it its number, then write its record."""
    job.layout.trees.mkdir(parents=True, exist_ok=True)
    place = job.layout.trees / str(job.wanted.number)
    shutil.rmtree(place, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix=NEW, dir=job.layout.trees))
    new.chmod(0o755)
    _make_tree(job, new / "root")
    run(["sync", "--file-system", new], timeout_s=_SYNC_TIMEOUT_S)
    new.rename(place)
    keep_head(job)
    job.layout.records.mkdir(parents=True, exist_ok=True)
    write_file(job.layout.records / f"{job.wanted.number}.json", format_release(_record(job)))


def _make_tree(job: Job, root: Path) -> None:
    """Fill a directory with the same content that the container image has."""
    manifest, store = job.wanted.manifest, Store(job.layout.store)
    parts = manifest.of_kind("python", "wheel", *_PLACED)
    job.progress.start("install", sum(item.descriptor.size for item in parts))
    _check_stored(job, parts, store)
    root.mkdir()
    for item in manifest.of_kind("python"):
        with store.path(item.descriptor.sha256).open("rb") as stream:
            unpack_layer(stream, root)
        job.progress.advance(item.descriptor.size)
    wheels = [(item.name, store.path(item.descriptor.sha256)) for item in manifest.of_kind("wheel")]
    if wheels:
        install_wheels(wheels, root, manifest.python_version, job.progress.advance)
    for item in manifest.of_kind(*_PLACED):
        place_blob(root, item.to, store.path(item.descriptor.sha256), executable=item.executable)
        job.progress.advance(item.descriptor.size)


def _check_stored(job: Job, parts: Sequence[Item], store: Store) -> None:
    """Refuse blobs that were right when they came and are not any more; those of this run have just been checked.

    Raises:
        IntegrityError: a blob has other bytes; it is forgotten, so that it comes anew.
    """
    old = {item.descriptor.sha256: item for item in parts if item.descriptor.sha256 in job.facts.blobs}

    def check(item: Item) -> None:
        with store.path(item.descriptor.sha256).open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() == item.descriptor.sha256:
                return
        store.forget(item.descriptor.sha256)
        raise IntegrityError(
            f"the stored blob {item.descriptor.sha256} is damaged since it came",
            place=f'{item.kind} "{item.name}"',
            hint="run the same install again: it comes anew from the bundle",
        )

    in_threads([partial(check, item) for item in old.values()], threads=os.cpu_count() or 1)


def _record(job: Job) -> Release:
    wanted = job.wanted
    files = {entry.name: entry.sha256 for entry in wanted.manifest.entries if not entry.is_blob}
    files |= {name: hashlib.sha256(data).hexdigest() for name, data in job.head.entries()}
    return Release(
        number=wanted.number,
        name=wanted.manifest.name,
        version=wanted.manifest.version,
        sequence=wanted.manifest.sequence,
        manifest_sha256=wanted.manifest_sha256,
        keyid=wanted.key.keyid,
        algorithm=job.policy.algorithm,
        installed=f"{job.now:%Y-%m-%dT%H:%M:%SZ}",
        files=tuple(sorted(files.items())),
    )


def undo(job: Job) -> None:
    """Remove record and tree, and what was not finished."""
    number = job.wanted.number
    if number not in job.facts.trees:
        (job.layout.records / f"{number}.json").unlink(missing_ok=True)
        shutil.rmtree(job.layout.trees / str(number), ignore_errors=True)
    for path in job.layout.trees.glob(f"{NEW}*"):
        shutil.rmtree(path, ignore_errors=True)
