"""Images of registries: for each platform the image manifest that answers a reference, and its blobs."""

from __future__ import annotations

import json

from bundler.errors import FerryError, IntegrityError, ResolveError
from bundler.model.composed import ComposedImage
from bundler.model.document import Fields
from bundler.model.image import INDEXES, Described, LockedBlob, LockedImage, RegistryImage, parse_described
from bundler.model.platform import Platform
from bundler.registry import Found, Registry
from bundler.transport import Transport

# The variant that every processor of an architecture runs.
_BASELINE = {"amd64": ("", "v1"), "arm64": ("", "v8")}
_NO_IMAGE = "unknown/unknown"


def resolve_images(
    images: tuple[ComposedImage | RegistryImage, ...], platforms: tuple[Platform, ...]
) -> tuple[LockedImage, ...]:
    """Resolve every image that comes from a registry, in the order of the recipe, then of its platforms.

    Raises:
        ResolveError: a registry does not have it, or not for a platform of the recipe.
        TransferError, IntegrityError, HostError, StepError: as the registry says.
    """
    wanted = [(index, image) for index, image in enumerate(images) if isinstance(image, RegistryImage)]
    if not wanted:
        return ()
    registry = Registry(Transport())
    found: list[LockedImage] = []
    for index, image in wanted:
        try:
            found += _Answer(image, registry).locked(platforms)
        except FerryError as error:
            place = ", ".join(image.why) or f"images[{index}].reference"
            error.place = f"{place}: {error.place or image.reference}"
            raise
    return tuple(found)


class _Answer:
    """What a registry has for one image of a recipe."""

    def __init__(self, image: RegistryImage, registry: Registry) -> None:
        self._image = image
        self._registry = registry
        self._found = registry.manifest(image.reference)
        self._described = self._describe(self._found)

    def locked(self, platforms: tuple[Platform, ...]) -> list[LockedImage]:
        """Return the image for each platform."""
        by_index = self._described.media_type in INDEXES
        return [self._of_index(platform) if by_index else self._of_manifest(platform) for platform in platforms]

    def _describe(self, found: Found) -> Described:
        return parse_described(found.data, found.content_type, place=str(self._image.reference), error=ResolveError)

    def _of_index(self, platform: Platform) -> LockedImage:
        manifests = dict(reversed(self._described.manifests))
        names = [f"{platform}{variant and f'/{variant}'}" for variant in _BASELINE[platform.architecture]]
        chosen = next((manifests[name] for name in names if name in manifests), None)
        if chosen is None:
            raise self._missing(platform, set(manifests) - {_NO_IMAGE})
        found = self._registry.manifest(self._image.reference, chosen)
        described = self._describe(found)
        if described.media_type in INDEXES:
            raise ResolveError(
                f"expected the image manifest of {platform}, got another index", place=str(self._image.reference)
            )
        return self._locked(platform, found, described)

    def _of_manifest(self, platform: Platform) -> LockedImage:
        """Check the platform of an image that stands alone by what its configuration says."""
        config = self._registry.config(self._image.reference, self._described.blobs[0])
        try:
            fields = Fields(json.loads(config), place=str(self._image.reference), error=ResolveError)
        except (ValueError, RecursionError) as error:
            raise IntegrityError("expected its configuration in JSON", place=str(self._image.reference)) from error
        has = f"{fields.text('os', 'unknown')}/{fields.text('architecture', 'unknown')}"
        if has != str(platform):
            raise self._missing(platform, {has})
        return self._locked(platform, self._found, self._described)

    def _missing(self, platform: Platform, there: set[str]) -> ResolveError:
        return ResolveError(
            f"expected an image for {platform}, the registry has {', '.join(sorted(there)) or 'no platform'}",
            place=str(self._image.reference),
            hint="take another tag, or leave the platform out of the recipe",
        )

    def _locked(self, platform: Platform, found: Found, described: Described) -> LockedImage:
        return LockedImage(
            reference=self._image.reference,
            aliases=self._image.aliases,
            platform=platform,
            manifest=LockedBlob(media_type=described.media_type, size=len(found.data), sha256=found.sha256),
            blobs=described.blobs,
            why=self._image.why,
        )
