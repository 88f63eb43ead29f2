"""Takes images of the builder into the content store, and checks that all of them came."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from bundler.errors import FerryError, IntegrityError, RecipeError
from bundler.local.archive import archived_image, check_layers
from bundler.local.daemon import exported
from bundler.local.layout import chosen_root, copy_layout
from bundler.local.parts import Parts, read_tar
from bundler.model.described import Described, parse_described
from bundler.model.image import CONFIGS, MANIFEST_MAX_BYTES, LockedBlob, LockedImage
from bundler.model.progress import Progress, Silent
from bundler.model.taken import Origin
from bundler.store import Store

_COMPRESSED = (".gzip", "+gzip", "+zstd")


@dataclass(frozen=True, kw_only=True, slots=True)
class Local:
    """Takes images into `store`; relative paths begin at `directory`, the recipe's."""

    directory: Path
    store: Store
    progress: Progress = field(default_factory=Silent)

    def bring(self, origin: Origin) -> LockedBlob:
        """Take all that is there into the store; return the image manifest or index that is meant.

        Raises:
            RecipeError: there is no such file, or several images.
            IntegrityError: something is damaged or missing.
            ResolveError, TransferError: as the daemon says.
        """
        try:
            return self._bring(origin)
        except FerryError as error:
            error.place = error.place or origin.place
            raise

    def _bring(self, origin: Origin) -> LockedBlob:
        if origin.kind == "daemon":
            return self._of_daemon(origin)
        path = self.directory / origin.place
        if path.is_dir() and origin.kind == "layout":
            return self._of_directory(path, origin)
        try:
            stream = path.open("rb")
        except OSError as error:
            raise RecipeError(f"expected a file: {error.strerror}", place=origin.place) from error
        with stream:
            self.progress.start("take", os.fstat(stream.fileno()).st_size)
            return self._root(self._read(stream, origin), origin)

    def _read(self, stream: IO[bytes], origin: Origin) -> Parts:
        return read_tar(stream, self.store, place=origin.place, advance=self.progress.advance)

    def _of_directory(self, path: Path, origin: Origin) -> LockedBlob:
        if not (path / "index.json").is_file() or not (path / "oci-layout").is_file():
            raise IntegrityError("expected an OCI layout, it has no index.json and oci-layout", place=origin.place)
        root = chosen_root((path / "index.json").read_bytes(), origin.select, place=origin.place)
        self.progress.start("take", 0)
        copy_layout(root, path, self.store, place=origin.place, advance=self.progress.advance)
        return root

    def _of_daemon(self, origin: Origin) -> LockedBlob:
        with exported(origin.place) as (stream, image_id, size):
            self.progress.start("take", size)
            root = self._root(self._read(stream, origin), origin)
        config = next(iter(self._described(root, origin.place).blobs), root)
        if image_id.removeprefix("sha256:") not in (root.sha256, config.sha256):
            raise IntegrityError(
                f"expected the image {image_id}, the daemon gave sha256:{config.sha256}", place=origin.place
            )
        return root

    def _root(self, parts: Parts, origin: Origin) -> LockedBlob:
        """Find the image among what was taken; an OCI layout counts before a manifest of Docker's beside it."""
        if {"index.json", "oci-layout"} <= parts.texts.keys():
            return chosen_root(parts.texts["index.json"], origin.select, place=origin.place)
        if "manifest.json" in parts.texts and origin.kind != "layout":
            return archived_image(parts, origin.select, self.store, place=origin.place)
        what = "an OCI layout" if origin.kind == "layout" else "what `docker save` or `podman save` writes"
        lacks = "index.json and oci-layout" if origin.kind == "layout" else "manifest.json"
        raise IntegrityError(f"expected {what}, it has no {lacks}", place=origin.place)

    def _described(self, blob: LockedBlob, place: str) -> Described:
        if blob.size > MANIFEST_MAX_BYTES or not self.store.has(blob.sha256, blob.size):
            raise IntegrityError(f"expected the manifest sha256:{blob.sha256}, it is missing", place=place)
        data = self.store.read(blob.sha256)
        return parse_described(data, blob.media_type, place=place, error=IntegrityError, artifacts=True)

    def holds(self, image: LockedImage) -> bool:
        """Say whether the store has every part of an image."""
        return all(self.store.has(blob.sha256, blob.size) for blob in (*image.documents, *image.contents))

    def check(self, image: LockedImage) -> None:
        """Check that all of an image is in the store, and that its layers are those of its configuration.

        Raises:
            IntegrityError: a part is missing or another one.
        """
        assert image.origin is not None
        for blob in (*image.documents, *image.contents):
            if not self.store.has(blob.sha256, blob.size):
                raise IntegrityError(
                    f"expected the blob sha256:{blob.sha256} of {blob.size} bytes, it is missing",
                    place=image.origin.place,
                    hint="the image is not whole: write it anew, or lock the recipe again if it changed",
                )
        for manifest in image.documents:
            described = self._described(manifest, image.origin.place)
            config = described.config
            if config is not None and config.media_type in CONFIGS and _has_layers(described):
                if config.size > MANIFEST_MAX_BYTES:
                    most = f"expected a configuration of at most {MANIFEST_MAX_BYTES} bytes, got {config.size}"
                    raise IntegrityError(most, place=image.origin.place)
                diffs = [None if _is_compressed(layer) else layer.sha256 for layer in described.layers]
                check_layers(self.store.read(config.sha256), diffs, place=image.origin.place)


def _has_layers(described: Described) -> bool:
    """Say whether it is an image and not what builders note about one, which looks the same."""
    return not any("in-toto" in layer.media_type for layer in described.layers)


def _is_compressed(layer: LockedBlob) -> bool:
    return layer.media_type.endswith(_COMPRESSED)
