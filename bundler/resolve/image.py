"""Images that exist already: for each platform the image manifest that answers a reference, and its blobs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Protocol

from bundler.errors import FerryError, IntegrityError, ResolveError
from bundler.local.take import Local
from bundler.model.composed import ComposedImage
from bundler.model.described import Described, parse_described
from bundler.model.document import Fields
from bundler.model.image import INDEXES, LockedBlob, LockedImage, LockedManifest, choose
from bundler.model.platform import Platform
from bundler.model.reference import Reference
from bundler.model.taken import Origin, TakenImage
from bundler.registry import Found, Registry
from bundler.resolve.digests import Digests
from bundler.resolve.local import Stored, identify
from bundler.transport import Transport

_NO_IMAGE = "unknown/unknown"


class Source(Protocol):
    """Gives documents of images: a registry, or what was taken of this host."""

    def manifest(self, reference: Reference, blob: LockedBlob | None = None) -> Found:
        """Return what a reference stands for, or the manifest `blob` of its index."""

    def config(self, reference: Reference, blob: LockedBlob) -> bytes:
        """Return the configuration of an image."""


def resolve_images(
    images: tuple[ComposedImage | TakenImage, ...], platforms: tuple[Platform, ...], local: Local | None = None
) -> tuple[LockedImage, ...]:
    """Resolve every image that is not composed, in the order of the recipe, then of its platforms.

    `local` takes those of the builder itself into its store.

    Raises:
        ResolveError: a registry, layout, archive or daemon does not have it, or not for a platform of the recipe.
        RecipeError: a layout or archive is not there, or has several.
        TransferError, IntegrityError, HostError, StepError: as the registry, or whatever has it, says.
    """
    wanted = [(index, image) for index, image in enumerate(images) if isinstance(image, TakenImage)]
    registry = Registry(Transport()) if any(image.origin is None for _, image in wanted) else None
    found: list[LockedImage] = []
    for index, image in wanted:
        kind, what = (image.origin.kind, image.origin.place) if image.origin else ("reference", str(image.reference))
        try:
            found += _resolve(image, platforms, registry, local)
        except FerryError as error:
            place = ", ".join(image.why) or f"images[{index}].{kind}"
            error.place = f"{place}: {error.place or what}"
            raise
    return tuple(found)


def _resolve(
    image: TakenImage, platforms: tuple[Platform, ...], registry: Registry | None, local: Local | None
) -> list[LockedImage]:
    if image.origin is None:
        assert registry is not None
        return _Answer(image, registry, str(image.reference)).locked(platforms)
    if local is None:
        raise ResolveError("expected a content store to take the image into, there is none")
    origin = identify(image.origin, local.directory, Digests(local.store.root))
    source = Stored(local.store, local.bring(origin), origin.place)
    found = _Answer(image, source, origin.place, origin).locked(platforms)
    for one in found:
        local.check(one)
    return found


class _Answer:
    """What a source has for one image of a recipe; `place` names it in messages."""

    def __init__(self, image: TakenImage, source: Source, place: str, origin: Origin | None = None) -> None:
        self._image = image
        self._source = source
        self._place = place
        self._origin = origin
        self._has = f"the {origin.kind if origin else 'registry'} has"
        self._found = source.manifest(image.reference)
        self._described = self._describe(self._found)

    def locked(self, platforms: tuple[Platform, ...]) -> list[LockedImage]:
        """Return the image for each platform, or whole."""
        is_index = self._described.media_type in INDEXES
        if self._image.is_whole:
            return [self._whole(platforms, is_index=is_index)]
        wanted = [platform for platform in self._image.wanted(platforms) if platform is not None]
        return [self._of_index(platform) if is_index else self._of_manifest(platform) for platform in wanted]

    def _describe(self, found: Found, *, artifacts: bool = False) -> Described:
        return parse_described(
            found.data, found.content_type, place=self._place, error=ResolveError, artifacts=artifacts
        )

    def _of_index(self, platform: Platform) -> LockedImage:
        found = self._source.manifest(self._image.reference, self._choose(platform))
        described = self._describe(found)
        if described.media_type in INDEXES:
            raise ResolveError(f"expected the image manifest of {platform}, got another index", place=self._place)
        return self._locked(platform, found, described)

    def _choose(self, platform: Platform) -> LockedBlob:
        chosen = choose(self._described.manifests, platform)
        if chosen is None:
            raise self._missing(platform, {name for name, _ in self._described.manifests} - {_NO_IMAGE})
        return chosen

    def _of_manifest(self, platform: Platform) -> LockedImage:
        """Check the platform of an image that stands alone by what its configuration says."""
        config = self._source.config(self._image.reference, self._described.blobs[0])
        try:
            fields = Fields(json.loads(config), place=self._place, error=ResolveError)
        except (ValueError, RecursionError) as error:
            raise IntegrityError("expected its configuration in JSON", place=self._place) from error
        has = f"{fields.text('os', 'unknown')}/{fields.text('architecture', 'unknown')}"
        if has != str(platform):
            raise self._missing(platform, {has})
        return self._locked(platform, self._found, self._described)

    def _whole(self, platforms: Sequence[Platform], *, is_index: bool) -> LockedImage:
        """Take an index with everything that it lists, notes of its builder too."""
        if not is_index:
            hint = "leave `index` out of the recipe"
            raise ResolveError(f"expected an index, {self._has} an image of one platform", place=self._place, hint=hint)
        for platform in platforms:
            self._of_index(platform)
        listed = [self._listed(name, blob) for name, blob in self._described.manifests]
        return self._locked(None, self._found, self._described, tuple(listed))

    def _listed(self, name: str, blob: LockedBlob) -> LockedManifest:
        described = self._describe(self._source.manifest(self._image.reference, blob), artifacts=True)
        if described.media_type in INDEXES:
            raise ResolveError("expected image manifests in the index, got another index", place=self._place)
        return LockedManifest(platform=name, manifest=_as_read(blob, described), blobs=described.blobs)

    def _missing(self, platform: Platform, there: set[str]) -> ResolveError:
        return ResolveError(
            f"expected an image for {platform}, {self._has} {', '.join(sorted(there)) or 'no platform'}",
            place=self._place,
            hint="take another tag, or leave the platform out of the recipe, or of this image by its `platforms`",
        )

    def _locked(
        self,
        platform: Platform | None,
        found: Found,
        described: Described,
        manifests: tuple[LockedManifest, ...] = (),
    ) -> LockedImage:
        return LockedImage(
            reference=self._image.reference,
            aliases=self._image.aliases,
            platform=platform,
            manifest=LockedBlob(media_type=described.media_type, size=len(found.data), sha256=found.sha256),
            blobs=described.blobs,
            why=self._image.why,
            manifests=manifests,
            origin=self._origin,
        )


def _as_read(blob: LockedBlob, described: Described) -> LockedBlob:
    return LockedBlob(media_type=described.media_type, size=blob.size, sha256=blob.sha256)
