"""Small releases of one product for a host in a directory, and differentials between them."""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bundles import SIGNER, entry, packed
from hosts import host_manifest

from bundler.differential import make_differential
from bundler.model.descriptor import OCTETS, Descriptor
from bundler.model.manifest import Item, Manifest
from bundler.model.progress import Silent
from bundler.model.service import Service
from bundler.since import Ground, read_since
from bundler.store import Store


def noise(seed: str, size: int) -> bytes:
    """Return bytes that nothing compresses, the same for the same seed."""
    return hashlib.shake_128(seed.encode()).digest(size)


def text(seed: str, lines: int) -> bytes:
    """Return text that deflates well, the same for the same seed."""
    return b"".join(b"%s said %d\n" % (noise(f"{seed}{index}", 12).hex().encode(), index) for index in range(lines))


def gzipped(*members: bytes, level: int = 6) -> bytes:
    """Return a gzip file of some members, as a layer is."""
    return b"".join(gzip.compress(member, level, mtime=0) for member in members)


def zipped(files: Mapping[str, bytes], level: int = 6) -> bytes:
    """Return a zip archive, as a wheel is."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, level)
    return out.getvalue()


class Release:
    """A release with files: its full manifest, and the bytes of every entry."""

    def __init__(self, work: Path, number: int, files: Mapping[str, bytes], services: Sequence[Service] = ()) -> None:
        manifest, self.contents = host_manifest(work / "made", services, sequence=number, version=f"{number}.0")
        items, entries = list(manifest.items), list(manifest.entries)
        for name, data in files.items():
            made = entry("", data)
            if made.name not in self.contents:
                entries.append(made)
            self.contents[made.name] = data
            items.append(_file(name, data))
        self.manifest = replace(manifest, items=tuple(items), entries=tuple(entries))
        self.path = work / f"release-{number}.tar"
        self.path.write_bytes(packed(self.manifest, self.contents))
        self._store = Store(work / f"builder-{number}")
        for name, data in self.contents.items():
            if name.startswith("blobs/"):
                self._store.put(data, OCTETS)

    def digest(self, name: str) -> str:
        """Return the SHA-256 of a file."""
        return next(item.descriptor.sha256 for item in self.manifest.items if item.to == name)

    def since(self, *bases: Path) -> tuple[Manifest, bytes]:
        """Return the manifest of the differential against some bases, and the differential."""
        ground = Ground(documents=tuple(map(read_since, bases)))
        manifest = make_differential(self.manifest, ground, self._store, Silent())
        small = {one.name: self.contents[one.name] for one in manifest.entries if not one.is_blob}
        blobs = {one.name: self._store.read(one.sha256) for one in manifest.entries if one.is_blob}
        return manifest, packed(manifest, small | blobs, SIGNER)

    def with_patch_of(self, other: Release, name: str, base: Path) -> bytes:
        """Return a signed differential in which the patch of one file is the one that another release has for it."""
        manifest, _ = self.since(base)
        theirs, _ = other.since(base)
        assert manifest.differential is not None
        assert theirs.differential is not None
        ours = next(one for one in manifest.differential.patches if one.result.sha256 == self.digest(name))
        given = next(one for one in theirs.differential.patches if one.result.sha256 == other.digest(name))
        patches = tuple(
            replace(one, patch=given.patch) if one is ours else one for one in manifest.differential.patches
        )
        entries = [one for one in manifest.entries if one.sha256 != ours.patch]
        entries += [one for one in theirs.entries if one.sha256 == given.patch]
        changed = replace(
            manifest, entries=tuple(entries), differential=replace(manifest.differential, patches=patches)
        )
        stores = (self._store, other._store)
        contents = {
            one.name: next(store.read(one.sha256) for store in stores if store.has(one.sha256))
            for one in entries
            if one.is_blob
        }
        return packed(changed, self.contents | contents, SIGNER)


def _file(name: str, data: bytes) -> Item:
    made = entry("", data)
    return Item(
        kind="file",
        name=name,
        version="1",
        purl=f"pkg:generic/{name}@1",
        descriptor=Descriptor(media_type=OCTETS, size=made.size, sha256=made.sha256, sm3=made.sm3),
        to=name,
    )
