"""A differential out of a full bundle's manifest: what the host has is left out, what changed goes as patches."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from bundler.delta.deflate import fingerprint
from bundler.delta.make import GENERATION, make_patch, mapped
from bundler.errors import IntegrityError
from bundler.model.descriptor import OCTETS, Descriptor
from bundler.model.differential import Differential, Patch
from bundler.model.manifest import Entry, Item, Manifest, format_manifest
from bundler.model.progress import Progress
from bundler.model.whole import whole_manifest
from bundler.since import Ground
from bundler.store import Store, derivation_key
from keystore import sm3

# install.sh reads these from the tar or the host's store: it cannot apply a patch.
_NEVER_PATCHED = ("python", "toolchain")
# A patch must save more than its own entry and its lines in the manifest take.
_LEAST_SAVED_BYTES = 2048


def make_differential(manifest: Manifest, ground: Ground, store: Store, progress: Progress) -> Manifest:
    """Return the manifest of the differential of a full bundle; the patches that it carries are put into the store.

    Raises:
        RecipeError: the ground is of another product or platform.
        IntegrityError: a bundle of the ground is damaged.
    """
    ground.check(manifest.name, manifest.platform)
    blobs = [entry for entry in manifest.entries if entry.is_blob]
    absent = tuple(entry for entry in blobs if ground.has(entry.sha256))
    left = [entry for entry in blobs if not ground.has(entry.sha256)]
    made = _patches(manifest, left, ground, store, progress)
    carried = [entry for entry in manifest.entries if not entry.is_blob]
    carried += [entry for entry in left if entry.sha256 not in made]
    # The same patch may make two blobs, and a patch may be a blob of the bundle.
    packed = {patch.sha256: _entry(patch) for _, patch in made.values()}
    carried += [entry for digest, entry in packed.items() if all(entry.sha256 != digest for entry in carried)]
    document = format_manifest(manifest)
    found = Differential(
        release_sha256=hashlib.sha256(document).hexdigest(),
        release_sm3=sm3.sm3(document).hex(),
        bases=tuple(one.base for one in ground.documents),
        absent=absent,
        patches=tuple(made[entry.sha256][0] for entry in left if entry.sha256 in made),
        deflate=fingerprint(),
    )
    result = replace(manifest, entries=tuple(carried), differential=found)
    whole_manifest(format_manifest(result), result)
    return result


def _entry(descriptor: Descriptor) -> Entry:
    return Entry(
        name=descriptor.entry_name,
        size=descriptor.size,
        sha256=descriptor.sha256,
        sm3=descriptor.sm3,
        chunks=descriptor.chunks,
    )


def _patches(
    manifest: Manifest, left: Sequence[Entry], ground: Ground, store: Store, progress: Progress
) -> dict[str, tuple[Patch, Descriptor]]:
    """Return the patches that are worth it, by the digest of what they make."""
    if not ground.deflates_as(fingerprint()):
        return {}
    bases = find_bases(manifest, ground)
    wanted = [
        (entry, bases[entry.sha256]) for entry in left if entry.sha256 in bases and entry.size > _LEAST_SAVED_BYTES
    ]
    progress.start("patch", sum(entry.size for entry, _ in wanted))
    found = {}
    for entry, base in wanted:
        with progress.item(entry.sha256[:12], entry.size) as advance:
            packed = _patch(entry, base, ground, store)
            advance(entry.size)
        if packed is not None and packed.size + _LEAST_SAVED_BYTES < entry.size:
            found[entry.sha256] = (Patch(result=entry, base=base, patch=packed.sha256), packed)
    return found


def _patch(entry: Entry, base: Entry, ground: Ground, store: Store) -> Descriptor | None:
    """Return the patch between two blobs, None where they have nothing in common; it is remembered."""
    key = derivation_key("patch", GENERATION, fingerprint(), base.sha256, entry.sha256)
    known = store.remembered(key)
    if known is not None:
        return store.describe(known["blob"], OCTETS) if "blob" in known else None
    with (
        ground.blob(base.sha256) as old,
        mapped(store.path(entry.sha256)) as new,
        tempfile.TemporaryDirectory(prefix="ferry-patch-", dir=store.root) as work,
        store.writer() as writer,
    ):
        if hashlib.sha256(new).hexdigest() != entry.sha256:
            raise IntegrityError(
                f"the stored blob {entry.sha256} is damaged",
                place=str(store.path(entry.sha256)),
                hint="run: ferry cache prune --check, then build again; it is fetched anew",
            )
        if not make_patch(old, new, Path(work), writer.write):
            store.remember(key, {})
            return None
        packed = writer.commit(OCTETS)
    store.remember(key, {"blob": packed.sha256})
    return packed


def find_bases(manifest: Manifest, ground: Ground) -> Mapping[str, Entry]:
    """Return the blob that is nearest to each one that the host has not, by digest: the same thing in a bundle before.

    Things are the same by kind and name without version; of those with one name, such as the layers of an image, by
    their place among them. Only blobs count that the host has and a bundle's file holds.
    """
    found: dict[str, Entry] = {}
    for old, carried in ground.manifests():
        entries = {entry.sha256: entry for entry in old.entries if entry.is_blob}
        before = {key: item.descriptor.sha256 for key, item in _placed(old.items)}
        for key, item in _placed(manifest.items):
            sha256 = before.get(key, "")
            if sha256 in carried and sha256 in entries and entries[sha256].size and ground.has(sha256):
                found.setdefault(item.descriptor.sha256, entries[sha256])
    never = {item.descriptor.sha256 for item in manifest.of_kind(*_NEVER_PATCHED)}
    return {digest: base for digest, base in found.items() if digest not in never}


def _placed(items: Sequence[Item]) -> Iterator[tuple[tuple[str, ...], Item]]:
    """Yield each item with what it is, its version apart, and its place among those that are the same."""
    counted: dict[tuple[str, ...], int] = {}
    for item in items:
        key = (item.kind, *_what(item))
        counted[key] = counted.get(key, 0) + 1
        yield (*key, str(counted[key])), item


def _what(item: Item) -> tuple[str, ...]:
    if item.to:
        return (item.to,)
    name, _, qualifiers = item.purl.partition("?")
    return (name.rpartition("@")[0] or item.name, item.descriptor.media_type, *_parts(item, qualifiers))


def _parts(item: Item, qualifiers: str) -> tuple[str, ...]:
    """Return what tells things of one name apart: the repository of an image, the machine of a wheel."""
    if item.kind in ("image", "layer"):
        return tuple(one for one in qualifiers.split("&") if one.startswith("repository_url="))
    return (item.name.rpartition("-")[2],) if item.name.endswith(".whl") else ()
