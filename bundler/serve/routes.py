"""Every path that a served bundle answers, worked out once from its manifest."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from bundler.model.manifest import SIGNED, UNSIGNED, Item
from bundler.serve.images import images
from bundler.serve.resource import OpenBundle, Resource, made
from bundler.serve.wheels import HTML, wheels

_BUNDLE = "/bundle.tar"
_HEAD = ("install.sh", "sbom.cdx.json")


@dataclass(frozen=True, kw_only=True, slots=True)
class Routes:
    """What stands behind each path; `as_json` holds what a client gets instead that asks for JSON of an index."""

    plain: Mapping[str, Resource]
    as_json: Mapping[str, Resource]


def make_routes(bundle: OpenBundle) -> Routes:
    """Return all paths of a bundle.

    Raises:
        IntegrityError: the bundle's images are not what they should be.
    """
    plain = dict(images(bundle))
    as_json: dict[str, Resource] = {}
    for path, resource, other in wheels(bundle):
        plain[path] = resource
        if other is not None:
            as_json[path] = other
    plain |= dict(_packages(bundle)) | dict(_files(bundle))
    plain[_BUNDLE] = bundle.whole()
    plain["/"] = _front(bundle, plain)
    return Routes(plain=plain, as_json=as_json)


# Kinds of items that a package manager reads below a directory of its own.
_REPOSITORIES = {"apt": "apt", "deb": "apt", "dnf": "rpm", "rpm": "rpm"}


def _packages(bundle: OpenBundle) -> Iterator[tuple[str, Resource]]:
    for item in bundle.manifest.of_kind(*_REPOSITORIES):
        path = "/" + "/".join(filter(None, (_REPOSITORIES[item.kind], _below(item), item.name)))
        yield path, bundle.resource(item.descriptor.sha256, "application/octet-stream")


def _below(item: Item) -> str:
    """Return the directory of a package's own repository: that of its suite, or that of what nobody signed."""
    source = dict(item.source)
    return source.get("suite", "") or (UNSIGNED.rstrip("/") if source.get(SIGNED) == "no" else "")


def _files(bundle: OpenBundle) -> Iterator[tuple[str, Resource]]:
    for name in _HEAD:
        yield f"/{name}", bundle.resource(bundle.entry(name).sha256, "application/octet-stream")
    for item in bundle.manifest.items:
        if item.to:
            yield f"/files/{item.to}", bundle.resource(item.descriptor.sha256, "application/octet-stream")


def _front(bundle: OpenBundle, plain: Mapping[str, Resource]) -> Resource:
    """Return a page for a person: what is here, and how each client gets it."""
    manifest = bundle.manifest
    title = html.escape(f"{manifest.name} {manifest.version} ({manifest.platform})")
    tags = [path for path in plain if "/manifests/" in path and "sha256:" not in path]
    sections = [
        ("Bundle", [_BUNDLE, *(f"/{name}" for name in _HEAD)]),
        ("Images", sorted(tags)),
        ("Wheels (pip install --index-url .../simple/)", ["/simple/"]),
        (
            "Debian packages (deb [trusted=yes] .../apt/SUITE ./)",
            sorted(path for path in plain if path.startswith("/apt/")),
        ),
        ("RPM packages (baseurl=.../rpm/)", sorted(path for path in plain if path.startswith("/rpm/"))),
        ("Files", sorted(path for path in plain if path.startswith("/files/"))),
    ]
    body = "".join(_section(name, paths) for name, paths in sections if paths)
    head = f"<!DOCTYPE html>\n<html><head><meta charset=utf-8><title>{title}</title></head>"
    return made(f"{head}<body><h1>{title}</h1>\n{body}</body></html>\n".encode(), HTML)


def _section(name: str, paths: list[str]) -> str:
    rows = "".join(f'<li><a href="{html.escape(quote(path))}">{html.escape(path)}</a>\n' for path in paths)
    return f"<h2>{html.escape(name)}</h2>\n<ul>\n{rows}</ul>\n"
