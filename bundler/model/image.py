"""Images of registries: in a recipe, in a lock, and as a registry describes them.

Source: OCI Image Format Specification 1.1 (image index, image manifest, descriptor); Docker Image Manifest
Version 2, Schema 2, which has the same shape under other media types.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bundler.errors import FerryError, RecipeError
from bundler.model.descriptor import IMAGE_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST
from bundler.model.document import Fields, describe
from bundler.model.platform import Platform, parse_platform
from bundler.model.reference import Reference, parse_reference

DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
MANIFESTS = (IMAGE_MANIFEST, DOCKER_MANIFEST)
INDEXES = (IMAGE_INDEX, DOCKER_INDEX)
CONFIGS = (IMAGE_CONFIG, DOCKER_CONFIG)
MANIFEST_MAX_BYTES = 4 * 1024 * 1024
_MEDIA_TYPE = r"[0-9A-Za-z][0-9A-Za-z.+_-]*/[0-9A-Za-z][0-9A-Za-z.+_-]*"
_DIGEST = "sha256:[0-9a-f]{64}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RegistryImage:
    """An image that a recipe takes from a registry, and further names under which it is listed.

    `why` says who needs it, where that is not the recipe itself.
    """

    reference: Reference
    aliases: tuple[str, ...] = ()
    why: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedBlob:
    """A blob of an image as its manifest describes it: media type, size in bytes, SHA-256 in hex."""

    media_type: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedImage:
    """The image manifest that answers a reference for one platform, and its blobs, the configuration first."""

    reference: Reference
    aliases: tuple[str, ...]
    platform: Platform
    manifest: LockedBlob
    blobs: tuple[LockedBlob, ...]
    why: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which the image is listed."""
        return (self.reference.name_of(self.manifest.sha256), *self.aliases)


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """What a registry answers for a reference: an index with (platform, manifest), or an image manifest with blobs."""

    media_type: str
    manifests: tuple[tuple[str, LockedBlob], ...] = ()
    blobs: tuple[LockedBlob, ...] = ()


def registry_image(fields: Fields) -> RegistryImage:
    """Take one image of a registry from a recipe."""
    reference = parse_reference(fields.text("reference"), place=fields.place("reference"))
    aliases = []
    for index, text in enumerate(fields.texts("aliases", [])):
        place = f"{fields.place('aliases')}[{index}]"
        alias = parse_reference(text, place=place)
        if alias.sha256:
            raise RecipeError("expected a name with a tag, got one with a digest", place=place)
        aliases.append(str(alias))
    return RegistryImage(reference=reference, aliases=tuple(aliases))


def locked_image(fields: Fields) -> LockedImage:
    """Take one image from a lock."""
    wanted = registry_image(fields)
    image = LockedImage(
        reference=wanted.reference,
        aliases=wanted.aliases,
        platform=parse_platform(fields.text("platform"), place=fields.place("platform")),
        manifest=_locked_blob(fields),
        blobs=fields.each("blobs", _locked_blob),
        why=fields.texts("why", []),
    )
    if image.manifest.media_type not in MANIFESTS:
        raise fields.refuse("media_type", f"expected an image manifest, got {describe(image.manifest.media_type)}")
    if image.manifest.size > MANIFEST_MAX_BYTES:
        raise fields.refuse("size", f"expected at most {MANIFEST_MAX_BYTES}, got {image.manifest.size}")
    if not image.blobs or image.blobs[0].media_type not in CONFIGS:
        raise fields.refuse("blobs", "expected the image's configuration first")
    return image


def _locked_blob(fields: Fields) -> LockedBlob:
    return LockedBlob(
        media_type=fields.text("media_type", match=_MEDIA_TYPE, what="a media type"),
        size=fields.integer("size", least=1),
        sha256=fields.hex("sha256"),
    )


def locked_image_document(image: LockedImage) -> dict[str, Any]:
    """Return an image as it stands in a lock."""
    aliases = {"aliases": list(image.aliases)} if image.aliases else {}
    why = {"why": list(image.why)} if image.why else {}
    head = {"reference": str(image.reference), **aliases, **why, "platform": str(image.platform)}
    return {**head, **_blob_document(image.manifest), "blobs": [_blob_document(blob) for blob in image.blobs]}


def _blob_document(blob: LockedBlob) -> dict[str, Any]:
    return {"media_type": blob.media_type, "size": blob.size, "sha256": blob.sha256}


def parse_described(data: bytes, content_type: str, *, place: str, error: type[FerryError]) -> Described:
    """Parse an index or an image manifest; `content_type` counts where the document names no media type.

    Raises:
        error: it is neither, or it is both: two readers could see two images in it.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as cause:
        raise error("expected an image manifest in JSON", place=place) from cause
    fields = Fields(document, place=place, error=error)
    is_index, is_manifest = fields.has("manifests"), fields.has("config") or fields.has("layers")
    if is_index == is_manifest:
        got = "both in one" if is_index else "neither, perhaps a schema of before 2016"
        raise error(f"expected an image manifest or an index, got {got}", place=place)
    known = INDEXES if is_index else MANIFESTS
    # An OCI document need not say what it is.
    media_type = fields.text("mediaType", content_type if content_type in known else known[0])
    if media_type not in known:
        raise fields.refuse("mediaType", f"expected {' or '.join(known)}, got {describe(media_type)}")
    if is_index:
        return Described(media_type=media_type, manifests=_manifests(fields, error))
    return Described(media_type=media_type, blobs=_blobs(fields, error))


def _manifests(fields: Fields, error: type[FerryError]) -> tuple[tuple[str, LockedBlob], ...]:
    found = []
    for place, value in fields.items("manifests"):
        one = Fields(value, place=place, error=error)
        found.append((_platform_name(one), _described_blob(one)))
    return tuple(found)


def _platform_name(fields: Fields) -> str:
    if not fields.has("platform"):
        return "unknown/unknown"
    platform = fields.mapping("platform")
    variant = platform.text("variant", "")
    return f"{platform.text('os', 'unknown')}/{platform.text('architecture', 'unknown')}" + (variant and f"/{variant}")


def _blobs(fields: Fields, error: type[FerryError]) -> tuple[LockedBlob, ...]:
    config = _described_blob(fields.mapping("config"))
    if config.media_type not in CONFIGS:
        got = describe(config.media_type)
        raise fields.refuse("config.mediaType", f"expected the configuration of an image, got {got}")
    layers = [_described_blob(Fields(v, place=p, error=error)) for p, v in fields.items("layers")]
    return tuple(dict.fromkeys((config, *layers)))


def _described_blob(fields: Fields) -> LockedBlob:
    return LockedBlob(
        media_type=fields.text("mediaType", match=_MEDIA_TYPE, what="a media type"),
        size=fields.integer("size", least=1),
        sha256=fields.text("digest", match=_DIGEST, what="a digest sha256:HEX").removeprefix("sha256:"),
    )
