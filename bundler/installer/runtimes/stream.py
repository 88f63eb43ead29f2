"""An image out of the store as a tar that runtimes read from their standard input, while it is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from typing import IO

from bundler.archive import END, header, padding
from bundler.errors import IntegrityError
from bundler.model.described import Described, parse_described
from bundler.model.image import LockedBlob
from bundler.model.manifest import Item
from bundler.store import OCI_LAYOUT, PIECE_BYTES, Store


def layout_index(items: Sequence[Item], *, named: bool = True) -> bytes:
    """Return the `index.json` of a layout with images, each under all its names."""
    manifests: list[dict[str, object]] = []
    for item in items:
        descriptor = {
            "mediaType": item.descriptor.media_type,
            "digest": f"sha256:{item.descriptor.sha256}",
            "size": item.descriptor.size,
        }
        manifests += (
            [{**descriptor, "annotations": _annotations(name)} for name in item.names] if named else [descriptor]
        )
    return json.dumps({"schemaVersion": 2, "manifests": manifests}).encode()


def _annotations(name: str) -> dict[str, str]:
    return {"io.containerd.image.name": name, "org.opencontainers.image.ref.name": name}


def write_layout(out: IO[bytes], items: Sequence[Item], store: Store, *, tags: Sequence[Sequence[str]] = ()) -> None:
    """Write an OCI layout; with `tags` for each image also the `manifest.json` by which an older Docker reads it.

    Raises:
        IntegrityError: a manifest in the store is none.
    """
    texts = {"oci-layout": OCI_LAYOUT, "index.json": layout_index(items)}
    if tags:
        texts["manifest.json"] = _docker_manifest(items, tags, store)
    for name, data in texts.items():
        out.write(header(name, len(data)) + data + bytes(padding(len(data))))
    for sha256 in dict.fromkeys(sha256 for item in items for sha256 in _below(item, store)):
        path = store.path(sha256)
        size = path.stat().st_size
        out.write(header(f"blobs/sha256/{sha256}", size))
        with path.open("rb") as stream:
            shutil.copyfileobj(stream, out, PIECE_BYTES)
        out.write(bytes(padding(size)))
    out.write(END)


def _docker_manifest(items: Sequence[Item], tags: Sequence[Sequence[str]], store: Store) -> bytes:
    entries = []
    for item, names in zip(items, tags, strict=True):
        image = next(one for _, one in _manifests(item, store) if one.config and one.config.sha256 == item.config)
        layers = [f"blobs/sha256/{layer.sha256}" for layer in image.layers]
        entries.append({"Config": f"blobs/sha256/{item.config}", "RepoTags": list(names), "Layers": layers})
    return json.dumps(entries).encode()


def _below(item: Item, store: Store) -> Iterator[str]:
    """Yield the digests of all that an image is made of."""
    yield item.descriptor.sha256
    for sha256, image in _manifests(item, store):
        yield sha256
        yield from (blob.sha256 for blob in image.blobs)


def _manifests(item: Item, store: Store) -> Iterator[tuple[str, Described]]:
    """Yield the image manifest that an item is, or all that its index lists."""
    blob = item.descriptor
    root = _described(LockedBlob(media_type=blob.media_type, size=blob.size, sha256=blob.sha256), item.name, store)
    if not root.manifests:
        yield blob.sha256, root
    for _, manifest in root.manifests:
        yield manifest.sha256, _described(manifest, item.name, store)


def _described(blob: LockedBlob, name: str, store: Store) -> Described:
    data = store.read(blob.sha256)
    return parse_described(data, blob.media_type, place=name, error=IntegrityError, artifacts=True)
