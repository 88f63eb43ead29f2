"""What manifests and indexes of images say, in OCI's media types and in Docker's.

Source: OCI Image Format Specification 1.1 (image index, image manifest, descriptor); Docker Image Manifest
Version 2, Schema 2, which has the same shape under other media types.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from bundler.errors import FerryError
from bundler.model.document import Fields, describe
from bundler.model.image import CONFIGS, INDEXES, MANIFESTS, MEDIA_TYPE, LockedBlob
from bundler.model.taken import DIGEST


@dataclass(frozen=True, kw_only=True, slots=True)
class Described:
    """What a document says: an index with (platform, manifest), or an image manifest with blobs."""

    media_type: str
    manifests: tuple[tuple[str, LockedBlob], ...] = ()
    config: LockedBlob | None = None
    layers: tuple[LockedBlob, ...] = ()

    @property
    def blobs(self) -> tuple[LockedBlob, ...]:
        """The configuration and the layers, each content once."""
        return tuple(dict.fromkeys(() if self.config is None else (self.config, *self.layers)))


def parse_described(
    data: bytes, content_type: str, *, place: str, error: type[FerryError], artifacts: bool = False
) -> Described:
    """Parse an index or an image manifest; `content_type` counts where the document names no media type.

    With `artifacts` a manifest may also have another configuration than that of an image.

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
    layers = [described_blob(Fields(value, place=where, error=error)) for where, value in fields.items("layers")]
    return Described(media_type=media_type, config=_config(fields, artifacts=artifacts), layers=tuple(layers))


def _manifests(fields: Fields, error: type[FerryError]) -> tuple[tuple[str, LockedBlob], ...]:
    found = []
    for place, value in fields.items("manifests"):
        one = Fields(value, place=place, error=error)
        found.append((_platform_name(one), described_blob(one)))
    return tuple(found)


def _platform_name(fields: Fields) -> str:
    if not fields.has("platform"):
        return "unknown/unknown"
    platform = fields.mapping("platform")
    variant = platform.text("variant", "")
    return f"{platform.text('os', 'unknown')}/{platform.text('architecture', 'unknown')}" + (variant and f"/{variant}")


def _config(fields: Fields, *, artifacts: bool) -> LockedBlob:
    config = described_blob(fields.mapping("config"))
    if config.media_type not in CONFIGS and not artifacts:
        got = describe(config.media_type)
        raise fields.refuse("config.mediaType", f"expected the configuration of an image, got {got}")
    return config


def described_blob(fields: Fields) -> LockedBlob:
    """Take a descriptor."""
    return LockedBlob(
        media_type=fields.text("mediaType", match=MEDIA_TYPE, what="a media type"),
        size=fields.integer("size", least=1),
        sha256=fields.text("digest", match=DIGEST, what="a digest sha256:HEX").removeprefix("sha256:"),
    )
