"""Images in a lock, of registries and of the builder itself, and the media types of their parts.

Source: OCI Image Format Specification 1.1 (image index, image manifest, descriptor); Docker Image Manifest
Version 2, Schema 2, which has the same shape under other media types.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bundler.errors import RecipeError
from bundler.model.descriptor import IMAGE_CONFIG, IMAGE_INDEX, IMAGE_MANIFEST
from bundler.model.document import LINE, LINE_WORDS, Fields, describe
from bundler.model.platform import Platform, parse_platform
from bundler.model.reference import Reference
from bundler.model.taken import Origin, take_aliases, whence

T = TypeVar("T")
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
MANIFESTS = (IMAGE_MANIFEST, DOCKER_MANIFEST)
INDEXES = (IMAGE_INDEX, DOCKER_INDEX)
CONFIGS = (IMAGE_CONFIG, DOCKER_CONFIG)
MANIFEST_MAX_BYTES = 4 * 1024 * 1024
MEDIA_TYPE = r"[0-9A-Za-z][0-9A-Za-z.+_-]*/[0-9A-Za-z][0-9A-Za-z.+_-]*"
# The variant that every processor of an architecture runs.
_BASELINE = {"amd64": ("", "v1"), "arm64": ("", "v8")}


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedBlob:
    """A blob of an image as its manifest describes it: media type, size in bytes, SHA-256 in hex."""

    media_type: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedManifest:
    """One image manifest of an index that is kept whole: its platform as the index calls it, and its blobs."""

    platform: str
    manifest: LockedBlob
    blobs: tuple[LockedBlob, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedImage:
    """What answers a reference: for one platform an image manifest and its blobs, the configuration first.

    Or, without a platform, an index as `manifest`, and all `manifests` that it lists.
    """

    reference: Reference
    aliases: tuple[str, ...]
    platform: Platform | None
    manifest: LockedBlob
    blobs: tuple[LockedBlob, ...]
    why: tuple[str, ...] = ()
    manifests: tuple[LockedManifest, ...] = ()
    origin: Origin | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Every name under which the image is listed."""
        return (self.reference.name_of(self.manifest.sha256), *self.aliases)

    @property
    def documents(self) -> tuple[LockedBlob, ...]:
        """The index and every image manifest."""
        return (self.manifest, *(one.manifest for one in self.manifests))

    @property
    def contents(self) -> tuple[LockedBlob, ...]:
        """Every configuration and layer."""
        return (*self.blobs, *(blob for one in self.manifests for blob in one.blobs))

    def is_for(self, platform: Platform) -> bool:
        """Say whether a bundle for `platform` carries it."""
        return self.platform in (None, platform)

    def on(self, platform: Platform) -> LockedManifest:
        """Return the image manifest that a host of `platform` runs.

        Raises:
            RecipeError: the lock's index has none.
        """
        if self.platform is not None:
            return LockedManifest(platform=str(self.platform), manifest=self.manifest, blobs=self.blobs)
        found = choose([(one.platform, one) for one in self.manifests], platform)
        if found is None:
            raise RecipeError(f"the lock's index of {self.reference} has no image for {platform}", place="images")
        return found


def choose(named: Sequence[tuple[str, T]], platform: Platform) -> T | None:
    """Return the first of a platform among what an index lists, the variant that runs everywhere."""
    first = dict(reversed(named))
    names = [f"{platform}{variant and f'/{variant}'}" for variant in _BASELINE[platform.architecture]]
    return next((first[name] for name in names if name in first), None)


def locked_image(fields: Fields) -> LockedImage:
    """Take one image from a lock."""
    reference, origin = whence(fields)
    if origin is not None and origin.kind != "daemon":
        origin = replace(origin, sha256=fields.hex(f"{origin.kind}_sha256"))
    is_whole = fields.flag("index", False)
    image = LockedImage(
        reference=reference,
        aliases=take_aliases(fields),
        platform=None if is_whole else parse_platform(fields.text("platform"), place=fields.place("platform")),
        manifest=_locked_document(fields, INDEXES if is_whole else MANIFESTS),
        blobs=() if is_whole else fields.each("blobs", _locked_blob),
        manifests=fields.each("manifests", _locked_manifest) if is_whole else (),
        origin=origin,
        why=fields.texts("why", []),
    )
    if not is_whole and (not image.blobs or image.blobs[0].media_type not in CONFIGS):
        raise fields.refuse("blobs", "expected the image's configuration first")
    return image


def _locked_manifest(fields: Fields) -> LockedManifest:
    return LockedManifest(
        platform=fields.text("platform", match=LINE, what=LINE_WORDS),
        manifest=_locked_document(fields, MANIFESTS),
        blobs=fields.each("blobs", _locked_blob),
    )


def _locked_document(fields: Fields, known: Sequence[str]) -> LockedBlob:
    found = _locked_blob(fields)
    if found.media_type not in known:
        what = "an index" if known is INDEXES else "an image manifest"
        raise fields.refuse("media_type", f"expected {what}, got {describe(found.media_type)}")
    if found.size > MANIFEST_MAX_BYTES:
        raise fields.refuse("size", f"expected at most {MANIFEST_MAX_BYTES}, got {found.size}")
    return found


def _locked_blob(fields: Fields) -> LockedBlob:
    return LockedBlob(
        media_type=fields.text("media_type", match=MEDIA_TYPE, what="a media type"),
        size=fields.integer("size", least=1),
        sha256=fields.hex("sha256"),
    )


def locked_image_document(image: LockedImage) -> dict[str, Any]:
    """Return an image as it stands in a lock."""
    head = _origin_document(image)
    if image.why:
        head["why"] = list(image.why)
    if image.aliases:
        head["aliases"] = list(image.aliases)
    if image.platform is not None:
        head["platform"] = str(image.platform)
        return {**head, **_blob_document(image.manifest), "blobs": [_blob_document(blob) for blob in image.blobs]}
    manifests = [
        {
            "platform": one.platform,
            **_blob_document(one.manifest),
            "blobs": [_blob_document(blob) for blob in one.blobs],
        }
        for one in image.manifests
    ]
    return {**head, "index": True, **_blob_document(image.manifest), "manifests": manifests}


def _origin_document(image: LockedImage) -> dict[str, Any]:
    origin = image.origin
    if origin is None:
        return {"reference": str(image.reference)}
    select = {"select": origin.select} if origin.select else {}
    sha256 = {f"{origin.kind}_sha256": origin.sha256} if origin.sha256 else {}
    return {origin.kind: origin.place, **sha256, **select, "name": str(image.reference)}


def _blob_document(blob: LockedBlob) -> dict[str, Any]:
    return {"media_type": blob.media_type, "size": blob.size, "sha256": blob.sha256}
