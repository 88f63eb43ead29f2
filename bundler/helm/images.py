"""The images that rendered manifests ask for.

Source: Kubernetes API, PodSpec (`containers`, `initContainers`, `ephemeralContainers`, image volumes) and the
PodTemplateSpec of the kinds that hold one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bundler.errors import ResolveError
from bundler.helm.documents import parse_manifests

_CONTAINERS = ("containers", "initContainers", "ephemeralContainers")
# Where the pod of a kind stands; every other kind is looked through for texts that only its controller understands.
_PODS: dict[str, tuple[str, ...]] = {
    "Pod": ("spec",),
    "PodTemplate": ("template", "spec"),
    "CronJob": ("spec", "jobTemplate", "spec", "template", "spec"),
}
_PODS |= dict.fromkeys(
    ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"),
    ("spec", "template", "spec"),
)
# A CustomResourceDefinition speaks of images only as fields that others may set.
_SILENT = frozenset({"CustomResourceDefinition"})
_IMAGE_KEY = re.compile(".*image", re.IGNORECASE)
# As a whole text, or as the value of an option; with a host and a tag or digest, so that few other texts look like it.
_REFERENCE = re.compile(
    r"(?:--?[A-Za-z0-9._-]+=)?"
    r"(?P<name>[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]+)?(/[a-z0-9._-]+)+(:[0-9A-Za-z_][0-9A-Za-z_.-]*|@sha256:[0-9a-f]{64})+)"
)
# In a template of a manifest that stands as text inside another one.
_LINE = re.compile(rf"""^\s*(?:- )?["']?\w*[iI]mage["']?: ["']?{_REFERENCE.pattern}["']?\s*$""", re.MULTILINE)
_NAMED = re.compile(r"[a-z0-9][a-z0-9._/:-]*(:[0-9A-Za-z_][0-9A-Za-z_.-]*|@sha256:[0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One image that a container asks for, and the object that has the container."""

    image: str
    by: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """What manifests ask for: `asked` by containers; `alike` looks like images, but stands elsewhere."""

    asked: tuple[Asked, ...]
    alike: tuple[str, ...]


def find_images(text: str, *, place: str) -> Images:
    """Find every image in a stream of manifests, each once.

    Raises:
        ResolveError: it is not YAML, or a container names no image.
    """
    asked: dict[str, Asked] = {}
    alike: set[str] = set()
    for document in _objects(parse_manifests(text, place=place, error=ResolveError)):
        by = _title(document)
        for image in _pod_images(document, f"{place}: {by}"):
            asked.setdefault(image, Asked(image=image, by=by))
        if document.get("kind") not in _SILENT:
            alike |= set(_alike(document, "", set()))
    found = tuple(asked[image] for image in sorted(asked))
    return Images(asked=found, alike=tuple(sorted(alike - set(asked))))


def _objects(documents: list[object]) -> Iterator[dict[object, object]]:
    """Yield every object; a List (v1) holds others."""
    for document in documents:
        if isinstance(document, dict):
            items = document.get("items")
            if str(document.get("kind", "")).endswith("List") and isinstance(items, list):
                yield from (item for item in items if isinstance(item, dict))
            else:
                yield document


def _title(document: dict[object, object]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name", "") if isinstance(metadata, dict) else ""
    return f"{document.get('kind', 'object')} {name}".strip()


def _pod_images(document: dict[object, object], place: str) -> Iterator[str]:
    pod: object = document
    kind = str(document.get("kind"))
    if kind not in _PODS:
        yield from _foreign(document, set())
        return
    for key in _PODS[kind]:
        pod = pod.get(key) if isinstance(pod, dict) else None
    if not isinstance(pod, dict):
        return
    for key in _CONTAINERS:
        for container in _list(pod.get(key)):
            image = container.get("image")
            if not isinstance(image, str) or not image.strip():
                name = container.get("name", "without a name")
                raise ResolveError(f'expected an image, the container "{name}" names none', place=place)
            yield image.strip()
    for volume in _list(pod.get("volumes")):
        source = volume.get("image")
        if isinstance(source, dict) and isinstance(source.get("reference"), str):
            yield source["reference"]


def _foreign(value: object, seen: set[int]) -> Iterator[str]:
    """Yield the images of containers wherever they stand: kinds of others hold pods too."""
    if not isinstance(value, (dict, list)) or id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, dict):
        for key in _CONTAINERS:
            images = (container.get("image") for container in _list(value.get(key)))
            yield from (image.strip() for image in images if isinstance(image, str) and image.strip())
    for one in value.values() if isinstance(value, dict) else value:
        yield from _foreign(one, seen)


def _list(value: object) -> Iterator[dict[object, object]]:
    if isinstance(value, list):
        yield from (one for one in value if isinstance(one, dict))


def _alike(value: object, key: str, seen: set[int]) -> Iterator[str]:
    """Yield texts that look like references to images, walking what aliases share only once."""
    if isinstance(value, (dict, list)):
        if id(value) in seen:
            return
        seen.add(id(value))
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _alike(one, str(name), seen)
    elif isinstance(value, list):
        for one in value:
            yield from _alike(one, key, seen)
    elif isinstance(value, str):
        match = _REFERENCE.fullmatch(value.strip())
        if match:
            yield match["name"]
        elif _IMAGE_KEY.fullmatch(key) and _NAMED.fullmatch(value.strip()):
            yield value.strip()
        elif "\n" in value:
            yield from (line["name"] for line in _LINE.finditer(value))
