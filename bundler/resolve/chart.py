"""Helm charts: which one exactly, what it is installed with, and the images that it needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from bundler.errors import FerryError, IntegrityError, RecipeError, ResolveError
from bundler.helm.archive import PACKED_MAX_BYTES, Chart, read_chart
from bundler.helm.images import Images, find_images
from bundler.helm.template import Helm
from bundler.model.chart import CHART, ChartSource, asked_reference, chart_place
from bundler.model.document import Fields
from bundler.model.files import LockedPath
from bundler.model.lockedchart import LockedChart
from bundler.model.reference import Reference
from bundler.registry import Registry
from bundler.resolve.digests import Digests
from bundler.transport import Headers, Transport

_RENDERED_MAX_BYTES = 64 * 1024 * 1024


def resolve_charts(
    sources: tuple[ChartSource, ...], directory: Path, *, digests: Digests | None = None
) -> tuple[LockedChart, ...]:
    """Read every chart, render it or read what was rendered, and name its images; in the order of the recipe.

    `directory` is where the recipe's files stand.

    Raises:
        RecipeError: a file is missing, or two charts have one name and version.
        ResolveError, TransferError, IntegrityError, HostError: as for the registry, the archive and helm.
    """
    found: list[LockedChart] = []
    for index, source in enumerate(sources):
        try:
            chart = _resolve(source, directory, digests or Digests())
        except FerryError as error:
            place = f"charts[{index}]"
            error.place = f"{place}: {error.place}" if error.place else place
            raise
        if any(one.file.to == chart.file.to for one in found):
            raise RecipeError(f'two charts are "{chart.file.to}"', place=f"charts[{index}]")
        found.append(chart)
    return tuple(found)


def check_charts(
    sources: tuple[ChartSource, ...], charts: Sequence[LockedChart], directory: Path, *, digests: Digests | None = None
) -> None:
    """Check offline that locked charts are those of a recipe, and that no file of theirs has changed.

    Raises:
        RecipeError: they are not.
    """
    pairs = zip(sources, charts, strict=False)
    same = all(one.origin == chart.origin and one.sha256 in ("", chart.file.sha256) for one, chart in pairs)
    if not same or len(sources) != len(charts):
        raise RecipeError("the lock's charts are not those of the recipe", place="charts")
    for index, chart in enumerate(charts):
        names = [file.path for file in chart.local]
        measured = (digests or Digests()).measure([_beside(name, directory) for name in names])
        for file, now in zip(chart.local, measured, strict=True):
            if (file.size, file.sha256) != (now.size, now.sha256):
                raise RecipeError(f'"{file.path}" changed since it was locked', place=f"charts[{index}]")


def _resolve(source: ChartSource, directory: Path, digests: Digests) -> LockedChart:
    data = _read(source, directory)
    sha256 = hashlib.sha256(data).hexdigest()
    if source.sha256 not in ("", sha256):
        raise IntegrityError(f"expected sha256 {source.sha256}, got {sha256}", place=source.origin)
    chart = read_chart(data, place=source.origin)
    release = source.release or chart.name
    helm, found = _images(source, data, release, directory)
    references = [asked_reference(one.image, place=f"{source.origin}: {one.by}") for one in found.asked]
    references += [asked_reference(one, place=source.origin) for one in chart.annotated if source.annotated]
    images = {str(reference) for reference in (*references, *source.images)}
    to = chart_place(chart.name, chart.version)
    return LockedChart(
        name=chart.name,
        version=chart.version,
        api_version=chart.api_version,
        app_version=chart.app_version,
        file=LockedPath(path=source.path, url=source.url, to=to, size=len(data), sha256=sha256, executable=False),
        reference=str(source.reference) if source.reference else "",
        values=tuple(
            _file(name, f"{_stem(to)}.values-{number}.yaml", directory, digests)
            for number, name in enumerate(source.values, 1)
        ),
        rendered=_file(source.rendered, f"{_stem(to)}.rendered.yaml", directory, digests) if source.rendered else None,
        release=release,
        namespace=source.namespace,
        kubernetes=source.kubernetes,
        helm=helm,
        images=tuple(sorted(images)),
        not_carried=_not_carried(chart, found, images),
    )


def _read(source: ChartSource, directory: Path) -> bytes:
    if source.path:
        return _contents(source.path, directory, PACKED_MAX_BYTES)
    transport = Transport()
    if source.reference:
        return _pull(source.reference, transport)
    return _ask([source.url], transport, None)


def _contents(name: str, directory: Path, limit: int) -> bytes:
    path = _beside(name, directory)
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        raise RecipeError(f"expected a file: {error.strerror}", place=name) from error
    if len(data) > limit:
        raise RecipeError(f"expected a file of at most {limit} bytes", place=name)
    return data


def _beside(name: str, directory: Path) -> Path:
    path = directory / name
    if path.resolve() != directory.resolve() / name:
        raise RecipeError("expected a file beside the recipe, this leads through a link", place=name)
    return path


def _ask(urls: Sequence[str], transport: Transport, headers: Headers | None) -> bytes:
    says = []
    for url in urls:
        reply = transport.read(url, limit=PACKED_MAX_BYTES, headers=headers)
        if reply.status == 200 and len(reply.body) <= PACKED_MAX_BYTES:
            return reply.body
        says.append(f"more than {PACKED_MAX_BYTES} bytes" if reply.status == 200 else f"answered {reply.status}")
    raise ResolveError(f"expected the chart, its server {', '.join(says)}", place=urls[-1].partition("?")[0])


def _pull(reference: Reference, transport: Transport) -> bytes:
    """Return the archive that a registry has as an OCI artifact of Helm.

    Source: HIP 6 and 17, OCI media types of Helm.
    """
    registry = Registry(transport)
    found, place = registry.manifest(reference), str(reference)
    try:
        document = json.loads(found.data)
    except (ValueError, RecursionError) as error:
        raise ResolveError("expected a manifest in JSON", place=place) from error
    layers = Fields(document, place=place, error=ResolveError).items("layers", [])
    fields = [Fields(value, place=at, error=ResolveError) for at, value in layers]
    charts = [one for one in fields if one.text("mediaType") == CHART]
    if len(charts) != 1:
        raise ResolveError(f"expected an artifact with one chart, it has {len(charts)}", place=place)
    digest = charts[0].text("digest", match="sha256:[0-9a-f]{64}", what="a digest sha256:HEX")
    data = _ask(registry.urls(reference, "blobs", digest), transport, registry.headers)
    if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
        raise IntegrityError(f"expected {digest}, the registry serves other bytes", place=place)
    return data


def _images(source: ChartSource, data: bytes, release: str, directory: Path) -> tuple[str, Images]:
    """Return the version of helm where it rendered, and what was found."""
    if not source.find:
        return "", Images(asked=(), alike=())
    if source.rendered:
        text = _contents(source.rendered, directory, _RENDERED_MAX_BYTES).decode("utf-8", "replace")
        return "", find_images(text, place=source.rendered)
    helm = Helm()
    values = [_beside(name, directory) for name in source.values]
    return helm.version, find_images(helm.render(data, source, release, values), place=source.origin)


def _stem(to: str) -> str:
    return to.removesuffix(".tgz")


def _file(name: str, to: str, directory: Path, digests: Digests) -> LockedPath:
    now = digests.measure([_beside(name, directory)])[0]
    return LockedPath(path=name, to=to, size=now.size, sha256=now.sha256, executable=False)


def _not_carried(chart: Chart, found: Images, images: set[str]) -> tuple[str, ...]:
    """Return what looks like an image and is none of those that are carried."""
    left = set()
    for text in (*found.alike, *chart.annotated):
        try:
            full = str(asked_reference(text, place=""))
        except ResolveError:
            continue
        if full not in images:
            left.add(full)
    return tuple(sorted(left))
