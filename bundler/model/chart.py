"""Helm charts in a recipe: how each field is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bundler.errors import RecipeError, ResolveError
from bundler.model.document import Fields, describe
from bundler.model.files import public_url
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
KUBERNETES = r"1\.[0-9]{1,3}(\.[0-9]{1,3})?"
KUBERNETES_WORDS = 'a version such as "1.30"'
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
        reference=chart_reference(fields) if kind == "reference" else None,
        sha256=fields.hex("sha256") if kind == "url" else fields.hex("sha256", ""),
        values=tuple(_relative(fields, "values")),
        rendered=relative_path(fields, "rendered") if fields.has("rendered") else "",
        release=fields.text("name", "", match=_LABEL, what="the name of a release: at most 53 of a-z, 0-9 and hyphen"),
        namespace=fields.text("namespace", "default", match=_LABEL, what="the name of a namespace"),
        kubernetes=fields.text("kubernetes", _DEFAULT_KUBERNETES, match=KUBERNETES, what=KUBERNETES_WORDS),
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


def chart_reference(fields: Fields) -> Reference:
    """Take the reference of a chart in a registry, as helm writes it or without `oci://`."""
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


def chart_place(name: str, version: str) -> str:
    """Return where a chart stands below the root of the installation."""
    return f"{CHARTS}/{name}-{version}.tgz"


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
