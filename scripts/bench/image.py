"""Make an image to fetch, and fetch it by Ferry's own code; a child process of the bench runs this.

image.py make LAYOUT SIZE          an OCI layout with one image of eight layers that cannot be compressed
image.py fetch REFERENCE STORE     lock the image and fetch it into an empty content store
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path

from bundler.fetch import fetch_images
from bundler.model.descriptor import IMAGE_CONFIG, IMAGE_MANIFEST, LAYER
from bundler.model.platform import Platform, platform_of_machine
from bundler.model.progress import Silent
from bundler.model.reference import parse_reference
from bundler.model.taken import TakenImage
from bundler.resolve.image import resolve_images
from bundler.store import OCI_LAYOUT, Store

LAYERS = 8
PIECE = 1024 * 1024


def here() -> Platform:
    """Return this host's platform."""
    platform = platform_of_machine(os.uname().machine)
    assert platform is not None, "Ferry builds nothing here"
    return platform


def make(layout: Path, size: int) -> None:
    """Write the layout."""
    (layout / "blobs/sha256").mkdir(parents=True)
    layers = [_layer(layout, size // LAYERS) for _ in range(LAYERS)]
    platform = here()
    config = {
        "architecture": platform.architecture,
        "os": platform.os,
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"] for layer in layers]},
    }
    document = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": _blob(layout, json.dumps(config).encode(), IMAGE_CONFIG),
        "layers": layers,
    }
    manifest = _blob(layout, json.dumps(document).encode(), IMAGE_MANIFEST)
    (layout / "oci-layout").write_bytes(OCI_LAYOUT)
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [manifest]}))


def _layer(layout: Path, size: int) -> dict[str, object]:
    digest = hashlib.sha256()
    part = layout / "part"
    with part.open("wb") as stream:
        for start in range(0, size, PIECE):
            piece = os.urandom(min(PIECE, size - start))
            digest.update(piece)
            stream.write(piece)
    part.rename(layout / "blobs/sha256" / digest.hexdigest())
    return {"mediaType": LAYER, "digest": f"sha256:{digest.hexdigest()}", "size": size}


def _blob(layout: Path, data: bytes, media_type: str) -> dict[str, object]:
    name = hashlib.sha256(data).hexdigest()
    (layout / "blobs/sha256" / name).write_bytes(data)
    return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}


def fetch(reference: str, store: Path) -> None:
    """Lock and fetch."""
    image = TakenImage(reference=parse_reference(reference, place="REFERENCE"))
    fetch_images(resolve_images((image,), (here(),)), Store(store), progress=Silent())


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]), int(sys.argv[3]))
    else:
        fetch(sys.argv[2], Path(sys.argv[3]))
