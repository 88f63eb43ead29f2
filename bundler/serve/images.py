"""The images of a bundle as a read-only registry.

Source: OCI Distribution Specification 1.1, pull and content discovery; Docker Registry HTTP API V2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace

from bundler.errors import IntegrityError
from bundler.model.document import Fields
from bundler.model.image import INDEXES, MANIFESTS
from bundler.serve.resource import OpenBundle, Resource, made

_JSON = "application/json"
_VERSION = {"Docker-Distribution-Api-Version": "registry/2.0"}


def images(bundle: OpenBundle) -> Iterator[tuple[str, Resource]]:
    """Yield every path of the registry; each image is under its full name and under the one without its host.

    Raises:
        IntegrityError: the bundle's list of images is not one, or an image lacks a blob.
    """
    tags: dict[str, set[str]] = {}
    for name, digest, media_type in _listed(bundle):
        reachable = dict(_reachable(bundle, digest, media_type))
        for repository, tag in _names(name):
            tags.setdefault(repository, set()).update({tag} if tag else ())
            if tag:
                yield f"/v2/{repository}/manifests/{tag}", _described(bundle, digest, media_type)
            for sha256, kind in reachable.items():
                place = "manifests" if kind in (*INDEXES, *MANIFESTS) else "blobs"
                yield f"/v2/{repository}/{place}/sha256:{sha256}", _described(bundle, sha256, kind)
    yield "/v2/", _json({})
    yield "/v2", _json({})
    yield "/v2/_catalog", _json({"repositories": sorted(tags)})
    for repository, known in tags.items():
        yield f"/v2/{repository}/tags/list", _json({"name": repository, "tags": sorted(known)})


def _listed(bundle: OpenBundle) -> Iterator[tuple[str, str, str]]:
    """Yield name, digest and media type of every image in `index.json`."""
    document = _parsed(bundle, bundle.entry("index.json").sha256, "index.json")
    for place, value in document.items("manifests"):
        fields = Fields(value, place=place, error=IntegrityError)
        annotations = dict(fields.pairs("annotations", {}))
        if name := annotations.get("org.opencontainers.image.ref.name"):
            yield name, _digest(fields), fields.text("mediaType")


def _reachable(bundle: OpenBundle, sha256: str, media_type: str) -> Iterator[tuple[str, str]]:
    """Yield digest and media type of a manifest and of all that it names."""
    yield sha256, media_type
    document = _parsed(bundle, sha256, f"sha256:{sha256}")
    if media_type in INDEXES:
        for place, value in document.items("manifests"):
            fields = Fields(value, place=place, error=IntegrityError)
            child = _digest(fields)
            if _holds(bundle, child):
                yield from _reachable(bundle, child, fields.text("mediaType"))
        return
    config = document.mapping("config")
    layers = [Fields(value, place=place, error=IntegrityError) for place, value in document.items("layers")]
    for fields in (config, *layers):
        yield _digest(fields), fields.text("mediaType")


def _parsed(bundle: OpenBundle, sha256: str, place: str) -> Fields:
    try:
        return Fields(json.loads(bundle.read(sha256)), place=place, error=IntegrityError)
    except KeyError as error:
        raise IntegrityError("expected a blob of the bundle, it is not there", place=place) from error
    except (ValueError, RecursionError) as error:
        raise IntegrityError("expected JSON", place=place) from error


def _digest(fields: Fields) -> str:
    return fields.text("digest", match="sha256:[0-9a-f]{64}", what="a digest").removeprefix("sha256:")


def _holds(bundle: OpenBundle, sha256: str) -> bool:
    """Say whether the bundle has a blob: an index that came whole may name images of other platforms."""
    return any(entry.sha256 == sha256 for entry in bundle.manifest.entries)


def _names(name: str) -> Iterator[tuple[str, str]]:
    """Yield repository and tag of an image, with the host in front and without."""
    whole, _, _ = name.partition("@")
    repository, colon, tag = whole.rpartition(":")
    if not colon or "/" in tag:
        repository, tag = whole, ""
    yield repository, tag
    host, slash, rest = repository.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        yield rest, tag


def _described(bundle: OpenBundle, sha256: str, media_type: str) -> Resource:
    try:
        resource = bundle.resource(sha256, media_type)
    except KeyError as error:
        raise IntegrityError("expected a blob of the bundle, it is not there", place=f"sha256:{sha256}") from error
    return replace(resource, headers={"Docker-Content-Digest": f"sha256:{sha256}", **_VERSION})


def _json(document: object) -> Resource:
    return replace(made(json.dumps(document, sort_keys=True).encode(), _JSON), headers=_VERSION)
