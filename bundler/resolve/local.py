"""Images of the builder itself, as the resolver of images reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from bundler.errors import IntegrityError, RecipeError
from bundler.model.composed import ComposedImage
from bundler.model.image import MANIFEST_MAX_BYTES, LockedBlob, LockedImage
from bundler.model.platform import Platform
from bundler.model.reference import Reference
from bundler.model.taken import Origin, TakenImage
from bundler.registry import Found
from bundler.resolve.digests import Digests
from bundler.store import Store


class Stored:
    """Gives documents from a store, where `root` is what the reference stands for; `place` names it in messages."""

    def __init__(self, store: Store, root: LockedBlob, place: str) -> None:
        self._store = store
        self._root = root
        self._place = place

    def manifest(self, reference: Reference, blob: LockedBlob | None = None) -> Found:
        """Return what was taken, or the manifest `blob` of its index.

        Raises:
            IntegrityError: it is not there, or too large.
        """
        wanted = blob or self._root
        data = self._read(wanted, "the manifest")
        return Found(data=data, sha256=wanted.sha256, content_type=wanted.media_type)

    def config(self, reference: Reference, blob: LockedBlob) -> bytes:
        """Return the configuration of an image.

        Raises:
            IntegrityError: as for a manifest.
        """
        return self._read(blob, "the configuration")

    def _read(self, blob: LockedBlob, what: str) -> bytes:
        if blob.size > MANIFEST_MAX_BYTES:
            raise IntegrityError(f"expected {what} of at most {MANIFEST_MAX_BYTES} bytes, got {blob.size}")
        if not self._store.has(blob.sha256, blob.size):
            raise IntegrityError(
                f"expected {what} sha256:{blob.sha256} of {blob.size} bytes, it is missing",
                place=self._place,
                hint="write the image anew with all its platforms, or take its registry",
            )
        return self._store.read(blob.sha256)


def identify(origin: Origin, directory: Path, digests: Digests) -> Origin:
    """Return an origin with the digest of the file that says what it is now; a daemon has none.

    Raises:
        RecipeError: there is no such file.
    """
    if origin.kind == "daemon":
        return origin
    path = directory / origin.place
    file = path / "index.json" if path.is_dir() and origin.kind == "layout" else path
    if not file.is_file():
        what = "an OCI layout, a directory or a tar" if origin.kind == "layout" else "an archive"
        raise RecipeError(f"expected {what}, nothing like it is there", place=origin.place)
    return replace(origin, sha256=digests.measure([file])[0].sha256)


def same_images(
    locked: Sequence[LockedImage],
    images: Sequence[ComposedImage | TakenImage],
    platforms: Sequence[Platform],
    directory: Path,
    digests: Digests,
) -> bool:
    """Say whether a lock's images are those that are wanted, and of the files that these name as they are now.

    Raises:
        RecipeError: such a file is not there.
    """
    wanted = []
    for index, image in enumerate(images):
        if isinstance(image, TakenImage):
            try:
                origin = image.origin and identify(image.origin, directory, digests)
            except RecipeError as error:
                error.place = f"images[{index}].{image.origin.kind if image.origin else ''}: {error.place}"
                raise
            for platform in image.wanted(platforms):
                wanted.append((image.reference, image.aliases, platform, origin))
    return [(one.reference, one.aliases, one.platform, one.origin) for one in locked] == wanted
