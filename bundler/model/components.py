"""How two SBOMs differ: components by their purl without version."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bundler.errors import IntegrityError


@dataclass(frozen=True, kw_only=True, slots=True)
class ComponentChange:
    """One component: its versions and licences before and after, empty where it is not there."""

    component: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    old_licenses: tuple[str, ...]
    new_licenses: tuple[str, ...]


def compare_sboms(old: bytes, new: bytes) -> tuple[ComponentChange, ...]:
    """Compare two CycloneDX documents in JSON, components inside components too; only what differs, by name.

    Raises:
        IntegrityError: one is no such document.
    """
    before, after = _components(old, "old"), _components(new, "new")
    nothing: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())
    changes = []
    for name in sorted({*before, *after}):
        (old_versions, old_licenses), (new_versions, new_licenses) = before.get(name, nothing), after.get(name, nothing)
        if (old_versions, old_licenses) != (new_versions, new_licenses):
            changes.append(
                ComponentChange(
                    component=name,
                    old=tuple(sorted(old_versions)),
                    new=tuple(sorted(new_versions)),
                    old_licenses=tuple(sorted(old_licenses)),
                    new_licenses=tuple(sorted(new_licenses)),
                )
            )
    return tuple(changes)


def _components(data: bytes, which: str) -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    place = f"sbom.cdx.json ({which})"
    try:
        document = json.loads(data)
        found: dict[str, tuple[frozenset[str], frozenset[str]]] = {}
        for component in _walk(document.get("components", [])):
            name = _name(component)
            versions, licenses = found.get(name, (frozenset(), frozenset()))
            found[name] = (versions | {str(component.get("version", ""))}, licenses | set(_licenses(component)))
    except (ValueError, AttributeError, TypeError, RecursionError) as error:
        raise IntegrityError("expected an SBOM in CycloneDX JSON", place=place) from error
    return found


def _walk(components: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for component in components:
        yield component
        yield from _walk(component.get("components", []))


def _name(component: dict[str, Any]) -> str:
    """Return the purl up to the version, or what stands for it."""
    purl = str(component.get("purl", ""))
    if not purl:
        return f"{component.get('type', '')}:{component.get('name', '')}"
    return purl.partition("?")[0].partition("#")[0].rpartition("@")[0] or purl


def _licenses(component: dict[str, Any]) -> Iterator[str]:
    for choice in component.get("licenses", []):
        held = choice.get("license", {})
        yield str(choice.get("expression") or held.get("id") or held.get("name") or "")
