"""A bundle as an artifact of a registry: pure functions of its entries. FORMAT.md gives every field.

Source: OCI Image Format Specification 1.1 (image manifest, guidelines for artifact usage; image index); OCI
Distribution Specification 1.1 (referrers).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bundler.errors import ResolveError
from bundler.model.described import described_blob
from bundler.model.descriptor import IMAGE_INDEX, IMAGE_MANIFEST, OCTETS
from bundler.model.document import Fields, describe
from bundler.model.image import LockedBlob
from bundler.model.manifest import HEAD_NAMES, Manifest

BUNDLE = "application/vnd.ferry.bundle.v1"
EMPTY = "application/vnd.oci.empty.v1+json"
EMPTY_DATA = b"{}"
EMPTY_SHA256 = hashlib.sha256(EMPTY_DATA).hexdigest()
TITLE = "org.opencontainers.image.title"
# Registries take manifests of 4 MiB, and some of them no more than a few thousand layers.
MOST_LAYERS = 2000
# What stands beside the bundle as a referrer, so that other tools find it, and of what type each is.
_REFERRERS = (*HEAD_NAMES[1:], "sbom.cdx.json")
_TYPES = {
    "ferry.json.sig": "application/vnd.ferry.signature.v1",
    "ferry.json.dsse": "application/vnd.dsse.envelope.v1+json",
    "ferry.trust.json": "application/vnd.ferry.trust.v1+json",
    "sbom.cdx.json": "application/vnd.cyclonedx+json",
}
_OTHER_TYPE = "application/vnd.ferry.head.v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """An entry of a bundle as a layer of its artifact."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Written:
    """A document of a registry: its bytes and what they are; of an artifact also its type and what is said of it."""

    data: bytes
    media_type: str
    artifact_type: str = ""
    annotations: Mapping[str, str] | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes in hex."""
        return hashlib.sha256(self.data).hexdigest()

    def descriptor(self) -> dict[str, Any]:
        """Return how other documents name this one."""
        document: dict[str, Any] = {
            "mediaType": self.media_type,
            "digest": f"sha256:{self.sha256}",
            "size": len(self.data),
        }
        if self.artifact_type:
            document["artifactType"] = self.artifact_type
        return document | ({"annotations": dict(self.annotations)} if self.annotations else {})


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """The documents of a bundle: what its tag leads to, the parts of that (where it is an index), and referrers."""

    root: Written
    parts: tuple[Written, ...]
    referrers: tuple[Written, ...]


def make_artifact(manifest: Manifest, layers: Sequence[Named], *, most_layers: int = MOST_LAYERS) -> Artifact:
    """Return the documents of a bundle whose entries, those of the head first, are `layers`.

    The same bundle gives the same documents.
    """
    said = {
        "org.opencontainers.image.created": manifest.created,
        TITLE: manifest.name,
        "org.opencontainers.image.version": manifest.version,
    }
    groups = [layers[start : start + most_layers] for start in range(0, len(layers), most_layers)]
    written = tuple(_manifest(BUNDLE, group, said) for group in groups)
    root, parts = (written[0], ()) if len(written) == 1 else (_index(written, said), written)
    referrers = tuple(
        _manifest(_TYPES.get(one.name, _OTHER_TYPE), [one], {TITLE: one.name}, subject=root)
        for one in layers
        if one.name in _REFERRERS
    )
    return Artifact(root=root, parts=parts, referrers=referrers)


def _manifest(
    artifact_type: str, layers: Sequence[Named], said: Mapping[str, str], subject: Written | None = None
) -> Written:
    empty = {
        "mediaType": EMPTY,
        "digest": f"sha256:{EMPTY_SHA256}",
        "size": len(EMPTY_DATA),
    }
    document: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": IMAGE_MANIFEST,
        "artifactType": artifact_type,
        "config": empty,
        "layers": [_layer(one) for one in layers],
        "annotations": dict(said),
    }
    if subject is not None:
        document["subject"] = {
            name: value for name, value in subject.descriptor().items() if name in ("mediaType", "digest", "size")
        }
    return Written(data=_json(document), media_type=IMAGE_MANIFEST, artifact_type=artifact_type, annotations=said)


def _layer(one: Named) -> dict[str, Any]:
    # No media type of an image or of its layers: clients unpack such layers, and registries look for such manifests.
    return {
        "mediaType": OCTETS,
        "digest": f"sha256:{one.sha256}",
        "size": one.size,
        "annotations": {TITLE: one.name},
    }


def _index(parts: Sequence[Written], said: Mapping[str, str]) -> Written:
    return index_of([part.descriptor() for part in parts], artifact_type=BUNDLE, annotations=said)


def index_of(
    manifests: Sequence[Mapping[str, Any]], *, artifact_type: str = "", annotations: Mapping[str, str] | None = None
) -> Written:
    """Return an index of these descriptors."""
    document: dict[str, Any] = {"schemaVersion": 2, "mediaType": IMAGE_INDEX, "manifests": list(manifests)}
    if artifact_type:
        document["artifactType"] = artifact_type
    if annotations:
        document["annotations"] = dict(annotations)
    return Written(
        data=_json(document), media_type=IMAGE_INDEX, artifact_type=artifact_type, annotations=annotations or None
    )


def _json(document: object) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def first_part(data: bytes, *, place: str) -> LockedBlob | None:
    """Return the part that holds the head of a bundle where an index is given; None for the one manifest.

    Raises:
        ResolveError: it is no bundle.
    """
    fields = _fields(data, place)
    if not fields.has("manifests"):
        return None
    for where, value in fields.items("manifests"):
        return described_blob(Fields(value, place=where, error=ResolveError))
    raise ResolveError("expected an index with the parts of a bundle, it is empty", place=place)


def parse_head(data: bytes, *, place: str) -> dict[str, LockedBlob]:
    """Return the entries of a bundle's head that an artifact names.

    Raises:
        ResolveError: it is no bundle.
    """
    found: dict[str, LockedBlob] = {}
    for where, value in _fields(data, place).items("layers"):
        layer = Fields(value, place=where, error=ResolveError)
        title = dict(layer.pairs("annotations", {})).get(TITLE, "")
        if title in HEAD_NAMES:
            found.setdefault(title, described_blob(layer))
    return found


def _fields(data: bytes, place: str) -> Fields:
    try:
        fields = Fields(json.loads(data), place=place, error=ResolveError)
    except (ValueError, RecursionError) as error:
        raise ResolveError("expected an artifact in JSON", place=place) from error
    found = fields.text("artifactType", "")
    if found != BUNDLE:
        raise ResolveError(
            f"expected an artifact of type {BUNDLE}, got {describe(found) if found else 'something else'}",
            place=place,
            hint="`ferry pull` brings what `ferry push` sent; images are pulled by podman, docker or skopeo",
        )
    return fields
