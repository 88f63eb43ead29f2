"""The images of a bundle, and the artifacts of its charts, in a registry under their own names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

from bundler.errors import IntegrityError, RecipeError
from bundler.model.artifact import Written
from bundler.model.described import parse_described
from bundler.model.descriptor import IMAGE_MANIFEST
from bundler.model.image import INDEXES, MANIFESTS
from bundler.model.manifest import Manifest
from bundler.model.progress import Progress
from bundler.model.reference import Reference, parse_reference
from bundler.model.whole import refuse_differential
from bundler.push.bundle import Tally
from bundler.push.repository import Repository
from bundler.push.source import Source
from bundler.registry import Registry
from bundler.transport import Transport
from bundler.verify import Policy


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A registry, and the path in it below which images go."""

    host: str
    prefix: str = ""

    def of(self, name: Reference, *, keep_host: bool) -> Reference:
        """Return the name that an image gets here."""
        # A repository's name has no colon.
        host = name.host.replace(":", "_").strip("[]") if keep_host else ""
        path = "/".join(filter(None, (self.prefix, host, name.repository)))
        return replace(name, host=self.host, repository=path)


@dataclass(frozen=True, kw_only=True, slots=True)
class PushedImage:
    """One name of an image, the name that it has in the registry, and the SHA-256 of what both lead to."""

    name: Reference
    pushed: Reference
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Document:
    """A manifest or an index of the bundle: itself, the documents that it lists, and its blobs."""

    written: Written
    children: tuple[_Document, ...]
    blobs: tuple[str, ...]

    def all_blobs(self) -> Iterator[str]:
        """Yield every blob below it."""
        yield from self.blobs
        for child in self.children:
            yield from child.all_blobs()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """What is to be at one name."""

    image: PushedImage
    document: _Document


def parse_place(text: str) -> Place:
    """Parse `REGISTRY[/PREFIX]`.

    Raises:
        RecipeError: it is something else.
    """
    try:
        found = parse_reference(f"{text}/x:x", place="")
    except RecipeError as error:
        raise RecipeError(
            f'expected REGISTRY or REGISTRY/PREFIX for images, got "{text[:100]}"',
            place="REGISTRY",
            hint="images keep their own repositories and tags: give none",
        ) from error
    return Place(host=found.host, prefix=found.repository.rpartition("/")[0])


def names_of(manifest: Manifest, place: Place, *, keep_hosts: bool) -> list[tuple[PushedImage, str]]:
    """Return every name of every image, with the media type of what it leads to, sorted by name.

    Raises:
        RecipeError: two images would have one name.
    """
    found: dict[Reference, tuple[PushedImage, str]] = {}
    for item in manifest.of_kind("image", "artifact"):
        if item.kind == "artifact" and item.descriptor.media_type != IMAGE_MANIFEST:
            continue
        for text in item.names or (item.name,):
            name = parse_reference(text, place="images")
            image = PushedImage(name=name, pushed=place.of(name, keep_host=keep_hosts), sha256=item.descriptor.sha256)
            other = found.setdefault(image.pushed, (image, item.descriptor.media_type))[0]
            if other.sha256 != image.sha256:
                raise RecipeError(
                    f"{other.name} and {name} would both be {image.pushed}",
                    place="images",
                    hint="keep them apart with --keep-hosts: the host of each becomes a part of its path",
                )
    return sorted(found.values(), key=lambda pair: str(pair[0].name))


def push_images(
    bundle: Path,
    place: Place,
    policy: Policy,
    *,
    now: datetime,
    progress: Progress,
    keep_hosts: bool = False,
    mount_from: str = "",
    transport: Transport | None = None,
) -> tuple[tuple[PushedImage, ...], Tally]:
    """Send the images of a bundle; return under which names.

    Each blob is sent once; the other repositories that need it take it from the first one.

    Raises:
        TrustError, IntegrityError: the bundle is refused.
        RecipeError: two images would have one name.
        TransferError: the registry refuses one, or cannot be reached.
        HostError: it is a differential.
    """
    transport = transport or Transport()
    source = Source(bundle, policy, now=now)
    try:
        refuse_differential(source.manifest, because="images need all of theirs")
        wanted = [
            _Wanted(image=image, document=_read(source, image.sha256, media_type))
            for image, media_type in names_of(source.manifest, place, keep_hosts=keep_hosts)
        ]
        tally = _bring(source, place, wanted, transport, progress, mount_from)
    finally:
        source.close()
    return tuple(one.image for one in wanted), tally


def _read(source: Source, sha256: str, media_type: str) -> _Document:
    data = source.read(sha256)
    described = parse_described(data, media_type, place=f"sha256:{sha256}", error=IntegrityError, artifacts=True)
    children = [blob for _, blob in described.manifests]
    for child in children:
        if child.media_type not in (*MANIFESTS, *INDEXES):
            raise IntegrityError("expected an image manifest in an index", place=f"sha256:{child.sha256}")
    return _Document(
        written=Written(data=data, media_type=described.media_type),
        children=tuple(_read(source, child.sha256, child.media_type) for child in children),
        blobs=tuple(blob.sha256 for blob in described.blobs),
    )


def _bring(
    source: Source,
    place: Place,
    wanted: Sequence[_Wanted],
    transport: Transport,
    progress: Progress,
    mount_from: str,
) -> Tally:
    """Send blobs to the first repository that needs each, then let the others take them there, then write names."""
    first: dict[str, str] = {}
    others: dict[tuple[str, str], None] = {}
    for one in wanted:
        name = one.image.pushed.repository
        for sha256 in one.document.all_blobs():
            if first.setdefault(sha256, name) != name:
                others[sha256, name] = None
    sources = {first[sha256] for sha256, _ in others} | ({mount_from} if mount_from else set())
    registry = Registry(transport, pushing=True, sources=sources)
    names = dict.fromkeys(one.image.pushed.repository for one in wanted)
    repositories = {name: Repository(transport, registry, place.host, name) for name in names}
    tally = Tally()
    pairs = [*first.items(), *others]
    progress.start("push", sum(source.blob(sha256).size for sha256, _ in pairs))

    def bring(sha256: str, name: str, mounted: str) -> None:
        content = source.blob(sha256)
        with progress.item(f"{name}@{sha256[:12]}", content.size) as advance:
            sent = repositories[name].bring(content, advance, mounted)
        tally.count(content.size, sent=sent)

    largest_first = sorted(first, key=lambda sha256: (-source.blob(sha256).size, sha256))
    source.send([partial(bring, sha256, first[sha256], mount_from) for sha256 in largest_first], transport)
    source.send([partial(bring, sha256, name, first[sha256]) for sha256, name in others], transport, checked=True)
    for one in wanted:
        _put(repositories[one.image.pushed.repository], one.document, one.image.pushed.tag)
    return tally


def _put(repository: Repository, document: _Document, tag: str) -> None:
    for child in document.children:
        _put(repository, child, "")
    repository.put(document.written, tag)
