"""How two bundles differ: what they carry, in bytes, and their SBOMs. Of each, the head and its SBOM are read."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from bundler.archive import BLOCK, is_header, read_head, refused_header, spans
from bundler.checks import pieces_of
from bundler.errors import IntegrityError
from bundler.model.components import ComponentChange, compare_sboms
from bundler.model.difference import Comparison, Thing, compare_things
from bundler.model.manifest import Item, Manifest
from bundler.verify import Policy, open_bundle, read_manifest

_SBOM = "sbom.cdx.json"
# The names of these hold their versions; their purls have both apart.
_BY_PURL = ("deb", "rpm", "wheel", "toolchain", "chart")


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleDifference:
    """Two bundles, and how the new one differs: what it carries, and the components of its SBOM."""

    old: Manifest
    new: Manifest
    carried: Comparison
    components: tuple[ComponentChange, ...]


def compare_bundles(old: Path, new: Path, policy: Policy, *, now: datetime) -> BundleDifference:
    """Compare two bundles by their signed manifests and SBOMs; an expired one is compared too.

    Entries other than the SBOM are not read: `ferry verify` checks them.

    Raises:
        TrustError, IntegrityError: the head or the SBOM of one is refused.
    """
    lenient = replace(policy, accept_expired=True)
    (old_manifest, old_sbom), (new_manifest, new_sbom) = (_read(path, lenient, now=now) for path in (old, new))
    return BundleDifference(
        old=old_manifest,
        new=new_manifest,
        carried=compare_things(list(map(_thing, old_manifest.items)), list(map(_thing, new_manifest.items))),
        components=compare_sboms(old_sbom, new_sbom),
    )


def _read(path: Path, policy: Policy, *, now: datetime) -> tuple[Manifest, bytes]:
    with open_bundle(path) as stream:
        head = read_head(stream)
        manifest, _ = read_manifest(head, policy, now=now)
        return manifest, _sbom(stream, manifest, head.end, policy.algorithm)


def _sbom(stream: BinaryIO, manifest: Manifest, start: int, algorithm: str) -> bytes:
    """Return the SBOM, its digest checked before anybody parses it."""
    span = next(span for span in spans(manifest, start) if span.entry.name == _SBOM)
    block = os.pread(stream.fileno(), BLOCK, span.header)
    if not is_header(block, span):
        raise refused_header(block, span, f'"{_SBOM}" at offset {span.header} of {stream.name}')
    stream.seek(span.data)
    data = stream.read(span.entry.size)
    for piece in pieces_of(span.part, algorithm):
        digest = piece.new_digest()
        digest.update(memoryview(data)[piece.start : piece.start + piece.length])
        if digest.hexdigest() != piece.digest:
            raise IntegrityError(
                f"expected {piece.algorithm} {piece.digest}, got {digest.hexdigest()}",
                place=f'"{_SBOM}" at offset {span.data + piece.start} of {stream.name}',
                hint="the medium or the copy is damaged, or someone changed it: carry the bundle again",
            )
    return data


def _thing(item: Item) -> Thing:
    name = item.purl.partition("?")[0].rpartition("@")[0].rpartition("/")[2] if item.kind in _BY_PURL else ""
    descriptor = item.descriptor
    return Thing(
        kind=item.kind,
        name=name or item.name,
        version=item.version or descriptor.sha256[:12],
        platform=None,
        blobs=((descriptor.sha256, descriptor.size),),
    )
