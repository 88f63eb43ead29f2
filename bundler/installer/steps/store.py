"""Step `store`: the bundle, read and checked once, goes into the host's content store."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from bundler.checks import Reading
from bundler.errors import IntegrityError
from bundler.installer.facts import Facts
from bundler.installer.steps.step import Action, Job
from bundler.installer.wanted import Wanted
from bundler.medium import Medium
from bundler.model.descriptor import OCTETS, Descriptor
from bundler.model.manifest import Entry, Manifest
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
    """Verify the whole bundle; its parts become blobs only when every byte of it was right."""
    store = Store(job.layout.store)
    known = job.facts.blobs
    job.progress.start("verify", sum(entry.size for entry in job.wanted.manifest.entries))
    reading = Reading(
        wanted=lambda entry: known.get(entry.sha256) != entry.size,
        advance=job.progress.advance,
        started=lambda manifest: _check_same(manifest, job.wanted.manifest),
    )
    receive(job.medium, store, job.policy, now=job.judged_at, reading=reading)
    # The manifest comes last: once it is there, all of the bundle is.
    for data in (job.head.signature, job.head.envelope, job.head.trust, job.head.manifest):
        store.put(data, OCTETS)


def receive(medium: Medium, store: Store, policy: Policy, *, now: datetime, reading: Reading) -> None:
    """Verify a bundle while what is wanted of it goes into a store, each byte once from the medium to its place.

    Raises:
        TrustError, IntegrityError, HostError: the bundle is refused or volumes are missing; the store is as before.
    """
    sink = _Parts(store)
    try:
        medium.verify(policy, now=now, reading=replace(reading, sink=sink))
        sink.adopt_all()
    finally:
        sink.close()


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
    """Takes the bytes of entries as files beside the blobs. A sink: several threads write at once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._open: dict[str, int] = {}
        self._right: dict[str, int] = {}
        self._done: dict[str, Entry] = {}

    def _path(self, entry: Entry) -> Path:
        return self._store.root / "parts" / f"{entry.sha256}.part"

    def write(self, entry: Entry, offset: int, data: memoryview) -> None:
        with self._lock:
            if entry.name not in self._open:
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
                self._open[entry.name] = os.open(self._path(entry), flags, 0o644)
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
            self._path(entry).touch()
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def adopt_all(self) -> None:
        """Make blobs of all that is finished."""
        for entry in self._done.values():
            descriptor = Descriptor(
                media_type=OCTETS, size=entry.size, sha256=entry.sha256, sm3=entry.sm3, chunks=entry.chunks
            )
            # Two entries may have the same bytes.
            if self._path(entry).exists():
                self._store.adopt(self._path(entry), descriptor)

    def close(self) -> None:
        """Forget what is not finished."""
        for fd in self._open.values():
            os.close(fd)
        for path in (self._store.root / "parts").iterdir():
            path.unlink()
