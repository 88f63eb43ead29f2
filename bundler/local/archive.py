"""Docker's archives: `manifest.json` names a configuration and layers; Ferry writes the image manifest.

What comes out of a daemon has no image manifest any more. The one that Ferry writes follows from the configuration
(whose digest is the image's id) and the layers as they come, so that it is the same wherever it is written.

Source: Docker Image Specification v1.2, combined image JSON and filesystem changeset format; OCI Image Format
Specification 1.1, image manifest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from bundler.errors import IntegrityError, RecipeError
from bundler.local.parts import Part, Parts
from bundler.model.descriptor import IMAGE_CONFIG, IMAGE_MANIFEST, LAYER
from bundler.model.document import LINE, LINE_WORDS, Fields, describe
from bundler.model.image import MANIFEST_MAX_BYTES, LockedBlob
from bundler.model.taken import DIGEST
from bundler.store import Store

PLAIN_LAYER = "application/vnd.oci.image.layer.v1.tar"
_BY_DIGEST = re.compile("([0-9a-f]{64})\\.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    config: str
    tags: tuple[str, ...]
    layers: tuple[str, ...]


def archived_image(parts: Parts, select: str, store: Store, *, place: str) -> LockedBlob:
    """Return the manifest that Ferry writes for the image of an archive; it goes into the store.

    Raises:
        IntegrityError: a part is missing, or is not what the image's configuration says; `place` names the archive.
        RecipeError: there are several images and `select` names none of them.
    """
    entry = _choose(_entries(parts.texts["manifest.json"], place=place), select, place=place)
    config = _part(parts, entry.config, "configuration", place=place)
    named = _BY_DIGEST.fullmatch(entry.config)
    if named is not None and named[1] != config.sha256:
        raise IntegrityError(f'"{entry.config}" is damaged: it has sha256 {config.sha256}', place=place)
    if config.size > MANIFEST_MAX_BYTES:
        raise IntegrityError(
            f"expected a configuration of at most {MANIFEST_MAX_BYTES} bytes, got {config.size}", place=place
        )
    layers = [_part(parts, name, "layer", place=place) for name in entry.layers]
    check_layers(store.read(config.sha256), [layer.diff_sha256 for layer in layers], place=place)
    written = store.put(format_manifest(_blob(config, IMAGE_CONFIG), list(map(_layer, layers))), IMAGE_MANIFEST)
    return LockedBlob(media_type=IMAGE_MANIFEST, size=written.size, sha256=written.sha256)


def _entries(data: bytes, *, place: str) -> list[_Entry]:
    where = f"{place}: manifest.json"
    try:
        document = {"images": json.loads(data)}
    except (ValueError, RecursionError) as error:
        raise IntegrityError("expected JSON", place=where) from error
    found = []
    for spot, value in Fields(document, place=where, error=IntegrityError).items("images"):
        fields = Fields(value, place=spot, error=IntegrityError)
        tags = () if fields.nothing("RepoTags") else fields.texts("RepoTags", [], match=LINE, what=LINE_WORDS)
        found.append(_Entry(config=fields.text("Config"), tags=tags, layers=fields.texts("Layers")))
    return found


def _choose(entries: Sequence[_Entry], select: str, *, place: str) -> _Entry:
    chosen = [entry for entry in entries if not select or select in entry.tags]
    if len(chosen) == 1:
        return chosen[0]
    has = [entry.tags[0] if entry.tags else "one without a name" for entry in entries]
    raise several(select, has, place=place)


def several(select: str, has: Sequence[str], *, place: str) -> RecipeError:
    """Return the error for a place in which not exactly one image answers."""
    wanted = f"an image {describe(select)}" if select else "one image"
    return RecipeError(
        f"expected {wanted}, there {'is' if len(has) == 1 else 'are'} {', '.join(map(describe, has)) or 'none'}",
        place=place,
        hint="name the one that is meant: `select: NAME`",
    )


def _part(parts: Parts, name: str, what: str, *, place: str) -> Part:
    found = parts.find(name)
    if found is None:
        raise IntegrityError(f"expected the {what} {describe(name)}, it is missing", place=place)
    return found


def _blob(part: Part, media_type: str) -> LockedBlob:
    return LockedBlob(media_type=media_type, size=part.size, sha256=part.sha256)


def _layer(part: Part) -> LockedBlob:
    return _blob(part, LAYER if part.is_gzip else PLAIN_LAYER)


def check_layers(config: bytes, diffs: Sequence[str | None], *, place: str) -> None:
    """Check that layers are those that a configuration names; of one that is None only the number is known.

    Raises:
        IntegrityError: they are not.
    """
    where = f"{place}: configuration"
    try:
        fields = Fields(json.loads(config), place=where, error=IntegrityError)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("expected JSON", place=where) from error
    named = fields.mapping("rootfs").texts("diff_ids", [], match=DIGEST, what="a digest sha256:HEX")
    if len(named) != len(diffs):
        raise IntegrityError(f"expected {len(named)} layers, got {len(diffs)}", place=where)
    for index, (expected, got) in enumerate(zip(named, diffs, strict=True)):
        if got is not None and expected != f"sha256:{got}":
            raise IntegrityError(f"expected {expected}, the layer has sha256:{got}", place=f"{where}: layer {index}")


def format_manifest(config: LockedBlob, layers: Sequence[LockedBlob]) -> bytes:
    """Return the image manifest of a configuration and layers; the same ones give the same bytes."""
    document = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "config": _described(config),
        "layers": [_described(layer) for layer in layers],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _described(blob: LockedBlob) -> dict[str, object]:
    return {"mediaType": blob.media_type, "digest": f"sha256:{blob.sha256}", "size": blob.size}
