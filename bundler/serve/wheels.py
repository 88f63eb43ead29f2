"""The wheels of a bundle as a package index.

Source: PEP 503 (simple repository API in HTML), PEP 691 (the same in JSON).
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping

from bundler.model.manifest import Item
from bundler.serve.resource import OpenBundle, Resource, made

HTML = "text/html; charset=utf-8"
JSON = "application/vnd.pypi.simple.v1+json"


def wheels(bundle: OpenBundle) -> Iterator[tuple[str, Resource, Resource | None]]:
    """Yield every path of the index with what stands there, as JSON too where a client may ask for that."""
    projects: dict[str, list[Item]] = {}
    for item in bundle.manifest.of_kind("wheel"):
        projects.setdefault(_normal(item.name.split("-")[0]), []).append(item)
        yield f"/simple/files/{item.name}", bundle.resource(item.descriptor.sha256, "application/octet-stream"), None
    yield (
        "/simple/",
        _page("Simple index", [(f"{name}/", name) for name in sorted(projects)]),
        _json({"projects": [{"name": name} for name in sorted(projects)]}),
    )
    for name, items in projects.items():
        links = [(f"../files/{one.name}#sha256={one.descriptor.sha256}", one.name) for one in items]
        files = [_file(one) for one in items]
        document = {"name": name, "files": files, "versions": sorted({one.version for one in items})}
        yield f"/simple/{name}/", _page(f"Links for {name}", links), _json(document)


def _normal(name: str) -> str:
    """Return a project's name as it stands in a path (PEP 503)."""
    return re.sub("[-_.]+", "-", name).lower()


def _file(item: Item) -> dict[str, object]:
    return {
        "filename": item.name,
        "url": f"../files/{item.name}",
        "hashes": {"sha256": item.descriptor.sha256},
        "size": item.descriptor.size,
    }


def _json(document: Mapping[str, object]) -> Resource:
    return made(json.dumps({"meta": {"api-version": "1.1"}, **document}, sort_keys=True).encode(), JSON)


def _page(title: str, links: list[tuple[str, str]]) -> Resource:
    rows = "".join(f'<a href="{html.escape(target)}">{html.escape(text)}</a><br>\n' for target, text in links)
    head = f'<meta name="pypi:repository-version" content="1.1"><title>{html.escape(title)}</title>'
    return made(f"<!DOCTYPE html>\n<html><head>{head}</head><body>\n{rows}</body></html>\n".encode(), HTML)
