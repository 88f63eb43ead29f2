"""Which requirement or package pulled each package, out of uv's own lock."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from packaging.markers import Environment, InvalidMarker, Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from bundler.errors import ResolveError

Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Root:
    """A requirement to start from, and what it is called in the lock."""

    requirement: Requirement
    label: str


def reasons(graph: Mapping[str, Any], roots: Sequence[Root], environment: Environment) -> dict[Key, tuple[str, ...]]:
    """Return what pulled each package that is wanted in `environment`, by name and version.

    Labels of requirements stand first, in their order, then the names of packages, sorted.

    Raises:
        ResolveError: it is not a lock of uv.
    """
    try:
        return _Walk(graph, environment).from_roots(roots)
    except (KeyError, TypeError, AttributeError, InvalidMarker) as error:
        raise ResolveError(f"expected a lock of uv that says what pulls what, got {error!r}") from error


class _Walk:
    """One walk over the graph, from the requirements down."""

    def __init__(self, graph: Mapping[str, Any], environment: Environment) -> None:
        self._environment = cast("Mapping[str, str]", environment)
        self._packages: dict[str, list[dict[str, Any]]] = {}
        for package in graph["package"]:
            self._packages.setdefault(package["name"], []).append(package)
        self._labels: dict[Key, list[str]] = {}
        self._parents: dict[Key, set[str]] = {}
        self._queue: deque[tuple[dict[str, Any], str]] = deque()
        self._seen: set[tuple[Key, str]] = set()

    def from_roots(self, roots: Sequence[Root]) -> dict[Key, tuple[str, ...]]:
        for root in roots:
            self._root(root)
        while self._queue:
            package, extra = self._queue.popleft()
            for needed in self._needs(package, extra):
                for key in self._reach(needed):
                    if key[0] != package["name"]:
                        self._parents.setdefault(key, set()).add(package["name"])
        return {
            key: (*dict.fromkeys(self._labels.get(key, ())), *sorted(self._parents.get(key, ())))
            for key in {key for key, _ in self._seen}
        }

    def _root(self, root: Root) -> None:
        requirement = root.requirement
        if requirement.marker is not None and not requirement.marker.evaluate(self._environment):
            return
        for package in self._packages.get(canonicalize_name(requirement.name), []):
            if requirement.specifier.contains(package["version"], prereleases=True) and self._is_here(package):
                self._enter(package, sorted(map(canonicalize_name, requirement.extras)))
                self._labels.setdefault(_key(package), []).append(root.label)

    def _needs(self, package: Mapping[str, Any], extra: str) -> Iterator[Mapping[str, Any]]:
        needs = package.get("optional-dependencies", {}).get(extra, []) if extra else package.get("dependencies", [])
        for needed in needs:
            marker = needed.get("marker")
            if marker is None or Marker(marker).evaluate(self._environment):
                yield needed

    def _reach(self, needed: Mapping[str, Any]) -> Iterator[Key]:
        for package in self._packages[needed["name"]]:
            if needed.get("version", package["version"]) == package["version"] and self._is_here(package):
                self._enter(package, needed.get("extra", []))
                yield _key(package)

    def _is_here(self, package: Mapping[str, Any]) -> bool:
        """Of two versions of one package, each says for which environments it is."""
        markers = package.get("resolution-markers")
        return not markers or any(Marker(marker).evaluate(self._environment) for marker in markers)

    def _enter(self, package: dict[str, Any], extras: Sequence[str]) -> None:
        for extra in ("", *extras):
            if (state := (_key(package), extra)) not in self._seen:
                self._seen.add(state)
                self._queue.append((package, extra))


def _key(package: Mapping[str, Any]) -> Key:
    return package["name"], package["version"]
