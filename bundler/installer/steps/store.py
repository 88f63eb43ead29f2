"""Step `store`: the bundle, read and checked once, goes into the host's content store."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bundler.checks import Reading
from bundler.errors import HostError, IntegrityError
from bundler.installer.facts import Facts
from bundler.installer.patches import rebuild_all
from bundler.installer.steps.step import Action, Job
from bundler.installer.wanted import Wanted
from bundler.medium import Medium
from bundler.model.descriptor import OCTETS, Descriptor
from bundler.model.differential import Patch
from bundler.model.manifest import Entry, Manifest, parse_manifest
from bundler.model.whole import whole_manifest
from bundler.store import Store
from bundler.verify import Policy

NAME = "store"


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when a part of the bundle is missing."""
    entries = wanted.manifest.entries
    missing = [entry for entry in entries if facts.blobs.get(entry.sha256) != entry.size]
    if not missing and wanted.manifest_sha256 in facts.blobs:
        return None
    size = sum(entry.size for entry in missing)
    reason = f"{len(missing)} of {len(entries)} parts ({size / 1e6:.1f} MB) are not in the host's store"
    return Action(step=NAME, reason=reason)


def apply(job: Job) -> None:
    """Verify the whole bundle; its parts become blobs only when every byte of it was right.

    Raises:
        HostError: something is missing, and no medium is at hand.
    """
    if job.medium is None:
        raise _no_medium(job)
    store = Store(job.layout.store)
    carried = parse_manifest(job.head.manifest)
    document, _ = whole_manifest(job.head.manifest, carried)
    patches = carried.differential.due(job.facts.blobs) if carried.differential else ()
    parts_of_release = {entry.sha256 for entry in job.wanted.manifest.entries}
    job.progress.start("verify", sum(entry.size for entry in carried.entries))
    reading = Reading(
        wanted=_wanted(job.wanted.manifest, job.facts.blobs, patches),
        advance=job.progress.advance,
        started=lambda manifest: _check_same(manifest, carried),
    )
    receive(
        job.medium,
        store,
        job.policy,
        now=job.judged_at,
        reading=reading,
        aside={patch.patch for patch in patches} - parts_of_release,
        rebuild=lambda path: rebuild_all(patches, store, path, job.progress),
    )
    # The manifest comes last: once it is there, all of the bundle is.
    keep_head(job)
    store.put(document, OCTETS)


def keep_head(job: Job) -> None:
    """Put the head of the bundle into the store: a host can go back to its release without the medium."""
    store = Store(job.layout.store)
    for data in (job.head.signature, job.head.envelope, job.head.trust, job.head.manifest):
        store.put(data, OCTETS)


def _no_medium(job: Job) -> HostError:
    manifest = job.wanted.manifest
    missing = [entry for entry in manifest.entries if job.facts.blobs.get(entry.sha256) != entry.size]
    size = sum(entry.size for entry in missing)
    return HostError(
        f"expected all {len(manifest.entries)} parts of {manifest.name} {manifest.version} in this host's store, "
        f"{len(missing)} ({size / 1e6:.1f} MB) are not there",
        place=NAME,
        hint="bring its bundle: ferry host resume BUNDLE",
    )


def receive(
    medium: Medium,
    store: Store,
    policy: Policy,
    *,
    now: datetime,
    reading: Reading,
    aside: Collection[str] = (),
    rebuild: Callable[[Callable[[str], Path]], None] = lambda path: None,
) -> None:
    """Verify a bundle while what is wanted of it goes into a store, each byte once from the medium to its place.

    Entries named `aside` do not stay: `rebuild` makes blobs of them, once every byte was right; it is given where an
    entry stands until then.

    Raises:
        TrustError, IntegrityError, HostError: the bundle is refused or volumes are missing; the store is as before.
    """
    sink = _Parts(store, aside)
    try:
        medium.verify(policy, now=now, reading=replace(reading, sink=sink))
        rebuild(sink.path)
        sink.adopt_all()
    finally:
        sink.close()


def _wanted(whole: Manifest, known: Mapping[str, int], patches: Sequence[Patch]) -> Callable[[Entry], bool]:
    """Return what says which entries are taken: parts of the release that are not here, and patches that are due."""
    parts = {entry.sha256 for entry in whole.entries if known.get(entry.sha256) != entry.size}
    parts |= {patch.patch for patch in patches}
    return lambda entry: entry.sha256 in parts


def _check_same(manifest: Manifest, planned: Manifest) -> None:
    if manifest != planned:
        raise IntegrityError("the bundle changed after it was planned", hint="leave the medium alone, run it again")


def undo(job: Job) -> None:
    """Remove the blobs that were not there; nothing is made, since the disk may be full."""
    for directory in ("blobs/sha256", "known"):
        for path in (job.layout.store / directory).glob("*"):
            if path.name not in job.facts.blobs:
                path.unlink()


class _Parts:
    """Takes the bytes of entries as files beside the blobs. A sink: several threads write at once.

    Those with a digest in `passing` never become blobs.
    """

    def __init__(self, store: Store, passing: Collection[str] = ()) -> None:
        self._store = store
        self._passing = passing
        self._lock = threading.Lock()
        self._open: dict[str, int] = {}
        self._right: dict[str, int] = {}
        self._done: dict[str, Entry] = {}

    def path(self, sha256: str) -> Path:
        """Return where an entry with this digest stands until it is a blob."""
        return self._store.root / "parts" / f"{sha256}.part"

    def write(self, entry: Entry, offset: int, data: memoryview) -> None:
        with self._lock:
            if entry.name not in self._open:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
                self._open[entry.name] = os.open(self.path(entry.sha256), flags, 0o644)
            fd = self._open[entry.name]
        while data:
            count = os.pwrite(fd, data, offset)
            data, offset = data[count:], offset + count

    def finish(self, entry: Entry, count: int) -> None:
        with self._lock:
            right = self._right[entry.name] = self._right.get(entry.name, 0) + count
            if right < entry.size:
                return
            fd = self._open.pop(entry.name, None)
            self._done[entry.name] = entry
        if fd is None:
            self.path(entry.sha256).touch()
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def adopt_all(self) -> None:
        """Make blobs of all that is finished."""
        for entry in self._done.values():
            if entry.sha256 in self._passing:
                continue
            descriptor = Descriptor(
                media_type=OCTETS, size=entry.size, sha256=entry.sha256, sm3=entry.sm3, chunks=entry.chunks
            )
            # Two entries may have the same bytes.
            if self.path(entry.sha256).exists():
                self._store.adopt(self.path(entry.sha256), descriptor)

    def close(self) -> None:
        """Forget what is not finished."""
        for fd in self._open.values():
            os.close(fd)
        for path in (self._store.root / "parts").iterdir():
            path.unlink()
