"""A bundle out of a registry: believed by its signature first, then brought blob by blob, each byte checked."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from bundler.archive import LARGEST_HEAD, pack_head, read_head, spans, total_size
from bundler.attest import Attested
from bundler.errors import IntegrityError, ResolveError
from bundler.model.artifact import first_part, parse_head
from bundler.model.manifest import HEAD_NAMES, Manifest
from bundler.model.progress import Progress
from bundler.model.reference import Reference
from bundler.pull.file import PartFile, Segment
from bundler.pull.plan import Run, plan
from bundler.registry import Registry
from bundler.store import in_threads
from bundler.transport import Transport
from bundler.verify import Policy, read_manifest

# What a registry takes at once is for its pace to say; this is how many may wait for their turn.
_THREADS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class Pulled:
    """A bundle that came: its reference with the digest, who signed it, and how much of it was there before."""

    path: Path
    reference: Reference
    manifest: Manifest
    attested: Attested
    size: int
    kept_bytes: int


def pull_bundle(
    reference: Reference,
    out: Path,
    policy: Policy,
    *,
    now: datetime,
    progress: Progress,
    transport: Transport | None = None,
) -> Pulled:
    """Write the bundle of a reference to a file, the same bytes as were pushed.

    Raises:
        TrustError, IntegrityError: it is refused; before its signature is right no more than its head is read.
        ResolveError: the registry has no such bundle.
        TransferError: the registry cannot be reached; what has come is kept.
        HostError: there is no room, or the file cannot be written.
    """
    transport = transport or Transport()
    registry = Registry(transport)
    head_bytes, sha256 = _read_head(registry, reference)
    head = read_head(io.BytesIO(head_bytes))
    manifest, attested = read_manifest(head, policy, now=now)
    all_spans, size = list(spans(manifest, head.end)), total_size(manifest, head.end)
    file = PartFile(out)
    try:
        file.begin(head_bytes, all_spans, size)
        runs = list(plan(all_spans, policy.algorithm))
        progress.start("pull", sum(run.length for run in runs))
        kept = _bring(runs, file, registry, transport, reference, progress)
        file.finish()
    finally:
        file.close()
    whence = replace(reference, sha256=sha256)
    return Pulled(path=out, reference=whence, manifest=manifest, attested=attested, size=size, kept_bytes=kept)


def _read_head(registry: Registry, reference: Reference) -> tuple[bytes, str]:
    """Return the head as it stands in the bundle's file, and the digest of what the reference leads to."""
    place = str(reference)
    root = found = registry.manifest(reference)
    if part := first_part(found.data, place=place):
        found = registry.manifest(reference, part)
    layers = parse_head(found.data, place=place)
    if missing := [name for name in HEAD_NAMES if name not in layers]:
        raise ResolveError(f'expected "{missing[0]}" among the layers, it is missing', place=place)
    contents = []
    for name in HEAD_NAMES:
        blob, limit = layers[name], LARGEST_HEAD[name]
        if blob.size > limit:
            raise IntegrityError(f"expected at most {limit} bytes, got {blob.size}", place=f"{place}: {name}")
        contents.append((name, registry.blob(reference, blob, limit=blob.size)))
    return pack_head(contents), root.sha256


def _bring(
    runs: Sequence[Run],
    file: PartFile,
    registry: Registry,
    transport: Transport,
    reference: Reference,
    progress: Progress,
) -> int:
    """Bring every run; return how many bytes were there already."""
    kept: list[int] = []

    def bring(run: Run) -> None:
        segment = Segment(file, run)
        with progress.item(run.entry.name, run.length) as advance:
            segment.take_up()
            kept.append(segment.size)
            advance(segment.size)
            transport.download_range(
                registry.urls(reference, "blobs", f"sha256:{run.entry.sha256}"),
                segment,
                sha256=run.entry.sha256,
                first=run.start,
                size=run.length,
                of=run.entry.size,
                progress=advance,
                headers=registry.headers,
            )

    largest_first = sorted(runs, key=lambda run: (-run.length, run.at))
    in_threads([partial(bring, run) for run in largest_first], threads=_THREADS, stop=transport.stop)
    return sum(kept)
