"""Images that exist already, of registries and of the builder itself: in a recipe and in a lock.

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
from bundler.model.path import any_path
from bundler.model.platform import Platform, parse_platform, take_platforms
from bundler.model.reference import Reference, parse_reference

T = TypeVar("T")
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
MANIFESTS = (IMAGE_MANIFEST, DOCKER_MANIFEST)
INDEXES = (IMAGE_INDEX, DOCKER_INDEX)
CONFIGS = (IMAGE_CONFIG, DOCKER_CONFIG)
MANIFEST_MAX_BYTES = 4 * 1024 * 1024
MEDIA_TYPE = r"[0-9A-Za-z][0-9A-Za-z.+_-]*/[0-9A-Za-z][0-9A-Za-z.+_-]*"
DIGEST = "sha256:[0-9a-f]{64}"
# Where an image of the builder itself may be; each is the field of a recipe that names the place.
KINDS = ("daemon", "layout", "archive")
# The variant that every processor of an architecture runs.
_BASELINE = {"amd64": ("", "v1"), "arm64": ("", "v8")}
_IN_DAEMON = rf"[0-9A-Za-z][0-9A-Za-z._/:-]*:[0-9A-Za-z_][0-9A-Za-z_.-]{{0,127}}|[0-9A-Za-z._/:-]+@{DIGEST}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Origin:
    """Where on the builder an image is.

    `kind` is one of KINDS, `place` a name that the daemon knows or a path, `select` the image that is meant where
    several are. In a lock, `sha256` is that of the archive, or of the layout's `index.json`; "" for a daemon.
    """

    kind: str
    place: str
    select: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TakenImage:
    """An image that a recipe takes as it is, and further names under which it is listed.

    It comes from the registry of `reference`, or from `origin`, and then `reference` is but its name. `platforms` are
    those for which it is wanted, none for all of the recipe's; with `is_whole` its index is kept, with every platform.
    """

    reference: Reference
    aliases: tuple[str, ...] = ()
    platforms: tuple[Platform, ...] = ()
    is_whole: bool = False
    origin: Origin | None = None

    def wanted(self, platforms: Sequence[Platform]) -> tuple[Platform | None, ...]:
        """Return the platforms of a lock's entries for this image, of those of the recipe; None for a whole index."""
        return (None,) if self.is_whole else tuple(one for one in platforms if one in (self.platforms or platforms))


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


def taken_image(fields: Fields) -> TakenImage:
    """Take one image of a registry or of the builder from a recipe."""
    kinds = [kind for kind in ("reference", *KINDS) if fields.has(kind)]
    if len(kinds) > 1:
        raise fields.refuse(kinds[1], f'expected one of reference, {", ".join(KINDS)}, "{kinds[0]}" is there too')
    reference, origin = _whence(fields)
    platforms = take_platforms(fields) if fields.has("platforms") else ()
    image = TakenImage(
        reference=reference,
        aliases=_aliases(fields),
        platforms=platforms,
        is_whole=fields.flag("index", False),
        origin=origin,
    )
    if image.is_whole and platforms:
        raise fields.refuse("platforms", "expected no platforms beside `index: true`, an index is kept whole")
    return image


def _whence(fields: Fields) -> tuple[Reference, Origin | None]:
    kind = next((kind for kind in KINDS if fields.has(kind)), None)
    if kind is None:
        return parse_reference(fields.text("reference"), place=fields.place("reference")), None
    if kind == "daemon":
        what = "a name as the daemon has it, NAME:TAG or NAME@sha256:HEX"
        origin = Origin(kind=kind, place=fields.text(kind, match=_IN_DAEMON, what=what))
    else:
        origin = Origin(
            kind=kind, place=any_path(fields, kind), select=fields.text("select", "", match=LINE, what=LINE_WORDS)
        )
    return parse_name(fields.text("name"), place=fields.place("name")), origin


def _aliases(fields: Fields) -> tuple[str, ...]:
    place = fields.place("aliases")
    aliases = enumerate(fields.texts("aliases", []))
    return tuple(str(parse_name(text, place=f"{place}[{index}]")) for index, text in aliases)


def parse_name(text: str, *, place: str) -> Reference:
    """Parse a reference by tag and not by digest.

    Raises:
        RecipeError: any other text.
    """
    name = parse_reference(text, place=place)
    if name.sha256:
        raise RecipeError("expected a name with a tag, got one with a digest", place=place)
    return name


def locked_image(fields: Fields) -> LockedImage:
    """Take one image from a lock."""
    reference, origin = _whence(fields)
    if origin is not None and origin.kind != "daemon":
        origin = replace(origin, sha256=fields.hex(f"{origin.kind}_sha256"))
    is_whole = fields.flag("index", False)
    image = LockedImage(
        reference=reference,
        aliases=_aliases(fields),
        platform=None if is_whole else parse_platform(fields.text("platform"), place=fields.place("platform")),
        manifest=_locked_document(fields, INDEXES if is_whole else MANIFESTS),
        blobs=() if is_whole else fields.each("blobs", _locked_blob),
        manifests=fields.each("manifests", _locked_manifest) if is_whole else (),
        origin=origin,
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
