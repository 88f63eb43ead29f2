"""Helm charts in a recipe and in a lock: how each field is read and written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bundler.errors import RecipeError, ResolveError
from bundler.model.document import Fields, describe
from bundler.model.files import LockedPath, locked_path, locked_path_document, public_url
from bundler.model.image import RegistryImage
from bundler.model.path import relative_path
from bundler.model.reference import Reference, familiar_reference, parse_reference

# Below the root of the installation: the charts, and beside each what it is installed with.
CHARTS = "charts"
CHART = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
CHART_CONFIG = "application/vnd.cncf.helm.config.v1+json"
CHART_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
CHART_VERSION = r"[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}"
AUTO, ANNOTATED = "auto", "annotated"
_KINDS = ("path", "url", "reference")
_KUBERNETES = r"1\.[0-9]{1,3}(\.[0-9]{1,3})?"
_DEFAULT_KUBERNETES = "1.30"
_LABEL = "[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?"
_API = r"[a-z0-9.-]+(/[A-Za-z0-9.]+){0,2}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ChartSource:
    """A packaged chart that a recipe takes, what it is rendered with, and where its images come from.

    One of `path`, `url` and `reference` is given. `rendered` is what `helm template` printed, for a builder without
    helm. `find` takes the images that the chart renders, `annotated` those that its own annotation names.
    """

    path: str = ""
    url: str = ""
    reference: Reference | None = None
    sha256: str = ""
    values: tuple[str, ...] = ()
    rendered: str = ""
    release: str = ""
    namespace: str = "default"
    kubernetes: str = _DEFAULT_KUBERNETES
    api_versions: tuple[str, ...] = ()
    find: bool = True
    annotated: bool = False
    images: tuple[Reference, ...] = ()

    @property
    def origin(self) -> str:
        """Where it comes from, as the recipe says it."""
        return self.path or self.url or str(self.reference)


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


def chart_source(fields: Fields) -> ChartSource:
    """Take one chart from a recipe."""
    kinds = [kind for kind in _KINDS if fields.has(kind)]
    if len(kinds) != 1:
        got = ", ".join(kinds) or "none"
        raise fields.refuse(kinds[1] if kinds else "path", f"expected one of path, url, reference, got {got}")
    kind = kinds[0]
    images = fields.texts("images", [AUTO])
    source = ChartSource(
        path=_chart_path(fields) if kind == "path" else "",
        url=public_url(fields) if kind == "url" else "",
        reference=_reference(fields) if kind == "reference" else None,
        sha256=fields.hex("sha256") if kind == "url" else fields.hex("sha256", ""),
        values=tuple(_relative(fields, "values")),
        rendered=relative_path(fields, "rendered") if fields.has("rendered") else "",
        release=fields.text("name", "", match=_LABEL, what="the name of a release: at most 53 of a-z, 0-9 and hyphen"),
        namespace=fields.text("namespace", "default", match=_LABEL, what="the name of a namespace"),
        kubernetes=fields.text("kubernetes", _DEFAULT_KUBERNETES, match=_KUBERNETES, what='a version such as "1.30"'),
        api_versions=fields.texts("api_versions", [], match=_API, what="a version of an API such as batch/v1"),
        find=AUTO in images,
        annotated=ANNOTATED in images,
        images=tuple(_images(images, fields)),
    )
    if source.rendered and not source.find:
        raise fields.refuse("rendered", f'expected "{AUTO}" among the images: nothing reads this file')
    return source


def _chart_path(fields: Fields) -> str:
    path = relative_path(fields, "path")
    if not path.endswith(".tgz"):
        raise fields.refuse(
            "path", f"expected a packaged chart NAME-VERSION.tgz, got {describe(path)}", "make it with: helm package"
        )
    return path


def _reference(fields: Fields) -> Reference:
    text = fields.text("reference").removeprefix("oci://")
    return parse_reference(text, place=fields.place("reference"))


def _relative(fields: Fields, key: str) -> Iterator[str]:
    for place, value in fields.items(key, []):
        one = Fields({"": value}, place=place, error=RecipeError)
        try:
            yield relative_path(one, "")
        except RecipeError as error:
            error.place = place
            raise


def _images(texts: Sequence[str], fields: Fields) -> Iterator[Reference]:
    for index, text in enumerate(texts):
        if text not in (AUTO, ANNOTATED):
            yield parse_reference(text, place=f"{fields.place('images')}[{index}]")


def locked_chart(fields: Fields) -> LockedChart:
    """Take one chart from a lock."""
    by_reference = fields.has("reference")
    name = fields.text("name", match=CHART_NAME, what="the name of a chart")
    version = fields.text("version", match=CHART_VERSION, what="the version of a chart")
    to = chart_place(name, version)
    reference = str(_reference(fields)) if by_reference else ""
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
        kubernetes=fields.text("kubernetes", match=_KUBERNETES, what='a version such as "1.30"'),
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


def chart_place(name: str, version: str) -> str:
    """Return where a chart stands below the root of the installation."""
    return f"{CHARTS}/{name}-{version}.tgz"


def chart_images(charts: Sequence[LockedChart], taken: Sequence[str]) -> tuple[RegistryImage, ...]:
    """Return what the charts need and the recipe does not take already under one of the names `taken`.

    Raises:
        ResolveError: one name stands for two digests.
    """
    wanted: dict[str, RegistryImage] = {}
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
                wanted[name] = RegistryImage(reference=reference, why=(*(known.why if known else ()), *why))
    return tuple(wanted[name] for name in sorted(wanted))


def asked_reference(text: str, *, place: str) -> Reference:
    """Return what a container of a manifest asks for, completed as Kubernetes does.

    Raises:
        ResolveError: it is no reference to an image.
    """
    try:
        return familiar_reference(text, place=place)
    except RecipeError as error:
        raise ResolveError(
            f"expected the reference of an image, got {describe(text)}",
            place=place,
            hint="give the chart values that name it",
        ) from error
