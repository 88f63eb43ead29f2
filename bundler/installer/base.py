"""What a differential counts on: blobs of this host's store, checked before anything is planned."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bundler.delta.deflate import fingerprint
from bundler.errors import HostError
from bundler.installer.facts import Facts
from bundler.installer.layout import Layout
from bundler.installer.plan import Plan
from bundler.model.differential import Differential
from bundler.model.manifest import Entry, Manifest
from bundler.model.progress import Progress
from bundler.model.receipt import Held, Lacking, LackingBlob, format_lacking, lacking_document
from bundler.store import PIECE_BYTES, in_threads, write_file
from keystore import sm3

_SHOWN = 20
# What the last differential lacked, for the builder of another one.
_LIST = "lacking.json"
_BLOCK = 4096


def check_base(
    manifest: Manifest, whole: Manifest, facts: Facts, layout: Layout, algorithm: str, progress: Progress, *, dry: bool
) -> Facts:
    """Check all that a differential does not carry, and what else of its release is here already.

    Returns the facts without blobs that are damaged and that the differential carries. Nothing is read where all of
    the release is here. Unless `dry`, what is damaged is forgotten, so that the next bundle brings it again.

    Raises:
        HostError: something is missing or damaged; all of it is listed.
    """
    left = manifest.differential
    if left is None or not any(facts.blobs.get(entry.sha256) != entry.size for entry in whole.entries):
        return facts
    counted = {entry.sha256: entry for entry in (*whole.entries, *left.needed)}
    here = [entry for entry in counted.values() if facts.blobs.get(entry.sha256) == entry.size]
    damaged = damaged_blobs(here, layout, algorithm, progress)
    if not dry:
        forget(layout, damaged)
    right = {sha256: size for sha256, size in facts.blobs.items() if sha256 not in damaged}
    patches = left.due(right)
    needed = {entry.sha256: entry for entry in (*left.absent, *(patch.base for patch in patches))}
    blobs = [
        _lacking(whole, entry, "damaged" if entry.sha256 in damaged else "missing")
        for entry in needed.values()
        if right.get(entry.sha256) != entry.size
    ]
    if left.deflate != fingerprint():
        blobs += [_lacking(whole, patch.result, "zlib here makes other bytes") for patch in patches]
    if blobs:
        raise _refusal(whole, left, blobs, [one.sha256 for one in here if one.sha256 in right], layout, dry=dry)
    if not dry:
        (layout.state / _LIST).unlink(missing_ok=True)
    return replace(facts, blobs=right)


def damaged_blobs(entries: Iterable[Entry], layout: Layout, algorithm: str, progress: Progress) -> frozenset[str]:
    """Return the digests of blobs in this host's store that have other bytes, read on all cores."""
    largest_first = sorted(entries, key=lambda entry: (-entry.size, entry.sha256))
    progress.start("base", sum(entry.size for entry in largest_first))
    damaged: list[str] = []

    def check(entry: Entry) -> None:
        if not _is_right(layout.store / "blobs/sha256" / entry.sha256, entry, algorithm, progress):
            damaged.append(entry.sha256)

    in_threads([partial(check, entry) for entry in largest_first], threads=os.cpu_count() or 1)
    return frozenset(damaged)


def _is_right(path: Path, entry: Entry, algorithm: str, progress: Progress) -> bool:
    digest = sm3.new() if algorithm == "sm3" else hashlib.sha256()
    buffer = memoryview(bytearray(min(PIECE_BYTES, entry.size + 1)))
    try:
        with path.open("rb", buffering=0) as stream:
            while count := stream.readinto(buffer):
                digest.update(buffer[:count])
                progress.advance(count)
    except OSError:
        return False
    return digest.hexdigest() == (entry.sm3 if algorithm == "sm3" else entry.sha256)


def forget(layout: Layout, damaged: Collection[str]) -> None:
    """Let damaged blobs count as missing: what is known of a blob makes it one."""
    for sha256 in damaged:
        (layout.store / "known" / sha256).unlink(missing_ok=True)


def _lacking(whole: Manifest, entry: Entry, why: str) -> LackingBlob:
    name = next((f"{one.kind} {one.name}" for one in whole.items if one.descriptor.sha256 == entry.sha256), "")
    return LackingBlob(entry=entry, item=name or "a blob of the release before", why=why)


def _refusal(
    whole: Manifest,
    left: Differential,
    blobs: Sequence[LackingBlob],
    right: Sequence[str],
    layout: Layout,
    *,
    dry: bool,
) -> HostError:
    """Return the error that lists what lacks; it is written down too, for the builder."""
    lacking = Lacking(
        name=whole.name,
        version=whole.version,
        sequence=whole.sequence,
        release_sha256=left.release_sha256,
        deflate=fingerprint(),
        blobs=tuple(blobs),
        held=Held.of(right),
    )
    shown = "".join(f"\n  {one.entry.sha256}  {one.entry.size:>12,}  {one.item}: {one.why}" for one in blobs[:_SHOWN])
    more = f"\n  and {len(blobs) - _SHOWN} more" if len(blobs) > _SHOWN else ""
    size = sum(one.entry.size for one in blobs)
    hint = "the release that runs stays as it is; bring the full bundle"
    if right:
        place = layout.state / _LIST
        if not dry:
            write_file(place, format_lacking(lacking))
            hint += f", or build a new differential: ferry build --since {place.name} (it stands in {layout.state})"
        else:
            hint += ", or build a new differential with --since and what ferry host receipt writes"
    count = f"1 blob ({size:,} bytes) is" if len(blobs) == 1 else f"{len(blobs)} blobs ({size:,} bytes) are"
    error = HostError(
        f"this differential is against {left.told()}; {count} not on this host:{shown}{more}",
        hint=hint,
    )
    error.details = {"lacking": lacking_document(lacking)}
    return error


def with_room(plan: Plan, manifest: Manifest, facts: Facts) -> Plan:
    """Add to a plan the room that patches take in the store until they are applied."""
    if manifest.differential is None or not plan.store_bytes:
        return plan
    digests = {patch.patch for patch in manifest.differential.due(facts.blobs)}
    sizes = [entry.size for entry in manifest.entries if entry.sha256 in digests]
    return replace(plan, store_bytes=plan.store_bytes + sum(-(-size // _BLOCK) * _BLOCK for size in sizes))
