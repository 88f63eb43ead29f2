"""Helm charts in a lock: what each field is, and which images they need."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bundler.errors import ResolveError
from bundler.model.chart import (
    CHART_NAME,
    CHART_VERSION,
    KUBERNETES,
    KUBERNETES_WORDS,
    chart_place,
    chart_reference,
)
from bundler.model.document import Fields, describe
from bundler.model.files import LockedPath, locked_path, locked_path_document
from bundler.model.reference import parse_reference
from bundler.model.taken import TakenImage


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedChart:
    """A chart, what it is installed with, and the images that it needs.

    `file` has the path or URL; a chart of a registry has its `reference` instead. `helm` is the version that rendered
    it, empty where the recipe or `rendered` named the images. `not_carried` looks like images, but stands where only
    the chart's own programs know what it is.
    """

    name: str
    version: str
    api_version: str
    app_version: str
    file: LockedPath
    reference: str
    values: tuple[LockedPath, ...]
    rendered: LockedPath | None
    release: str
    namespace: str
    kubernetes: str
    helm: str
    images: tuple[str, ...]
    not_carried: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Where it comes from."""
        return self.reference or self.file.url or self.file.path

    @property
    def files(self) -> tuple[LockedPath, ...]:
        """Every file that is on the builder or behind a URL: the chart, unless a registry has it, and its values."""
        return (*(() if self.reference else (self.file,)), *self.values)

    @property
    def local(self) -> tuple[LockedPath, ...]:
        """The files beside the recipe that the lock follows from."""
        rendered = () if self.rendered is None else (self.rendered,)
        return (*(file for file in self.files if file.path), *rendered)


def locked_chart(fields: Fields) -> LockedChart:
    """Take one chart from a lock."""
    by_reference = fields.has("reference")
    name = fields.text("name", match=CHART_NAME, what="the name of a chart")
    version = fields.text("version", match=CHART_VERSION, what="the version of a chart")
    to = chart_place(name, version)
    reference = str(chart_reference(fields)) if by_reference else ""
    file = _blob(fields, to) if by_reference else locked_path(fields)
    if file.to != to:
        raise fields.refuse("to", f'expected "{to}", got {describe(file.to)}')
    return LockedChart(
        name=name,
        version=version,
        api_version=fields.text("api_version"),
        app_version=fields.text("app_version", ""),
        file=file,
        reference=reference,
        values=fields.each("values", locked_path, []),
        rendered=_rendered(fields.mapping("rendered")) if fields.has("rendered") else None,
        release=fields.text("release"),
        namespace=fields.text("namespace"),
        kubernetes=fields.text("kubernetes", match=KUBERNETES, what=KUBERNETES_WORDS),
        helm=fields.text("helm", ""),
        images=tuple(_locked_images(fields)),
        not_carried=fields.texts("not_carried", []),
    )


def _blob(fields: Fields, to: str) -> LockedPath:
    size, sha256 = fields.integer("size", least=1), fields.hex("sha256")
    return LockedPath(path="", to=to, size=size, sha256=sha256, executable=False)


def _rendered(fields: Fields) -> LockedPath:
    rendered = locked_path(fields)
    fields.close()
    return rendered


def _locked_images(fields: Fields) -> Iterator[str]:
    for index, text in enumerate(fields.texts("images")):
        yield str(parse_reference(text, place=f"{fields.place('images')}[{index}]"))


def locked_chart_document(chart: LockedChart) -> dict[str, Any]:
    """Return a chart as it stands in a lock: what is as usual is left out."""
    file = locked_path_document(chart.file)
    if chart.reference:
        file = {"reference": chart.reference, "size": chart.file.size, "sha256": chart.file.sha256}
    document: dict[str, Any] = {"name": chart.name, "version": chart.version, "api_version": chart.api_version}
    document |= {"app_version": chart.app_version} if chart.app_version else {}
    document |= file
    document |= {"release": chart.release, "namespace": chart.namespace, "kubernetes": chart.kubernetes}
    document |= {"helm": chart.helm} if chart.helm else {}
    document |= {"values": [locked_path_document(one) for one in chart.values]} if chart.values else {}
    document |= {"rendered": locked_path_document(chart.rendered)} if chart.rendered else {}
    document["images"] = list(chart.images)
    return document | ({"not_carried": list(chart.not_carried)} if chart.not_carried else {})


def chart_images(charts: Sequence[LockedChart], taken: Sequence[str]) -> tuple[TakenImage, ...]:
    """Return what the charts need and the recipe does not take already under one of the names `taken`.

    Raises:
        ResolveError: one name stands for two digests.
    """
    wanted: dict[str, TakenImage] = {}
    for chart in charts:
        for text in chart.images:
            reference = parse_reference(text, place=f"charts: {chart.name}")
            name, why = reference.name_of(reference.sha256), (f"chart {chart.name}",)
            known = wanted.get(name)
            if known is not None and known.reference != reference:
                raise ResolveError(
                    f'expected one image called "{name}", two have it: {known.reference}, {reference}',
                    place=f"charts: {chart.name}",
                )
            if name not in taken:
                wanted[name] = TakenImage(reference=reference, why=(*(known.why if known else ()), *why))
    return tuple(wanted[name] for name in sorted(wanted))
