"""Pins of requirements files among what uv resolves: where they hold, and that nothing else slips in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import cast

from packaging.pylock import Package, Pylock
from packaging.requirements import Requirement

from bundler.errors import RecipeError, ResolveError
from bundler.model.platform import Platform
from bundler.model.recipe import Recipe
from bundler.resolve.pin import Pin, Requirements
from bundler.resolve.tags import marker_environment
from bundler.resolve.why import Key, Root

Reasons = Mapping[Platform, Mapping[Key, tuple[str, ...]]]


def pinned(pins: Iterable[Pin], recipe: Recipe) -> Iterator[Root]:
    """Yield each pin that holds on a platform of the recipe, as a requirement to start from."""
    for pin in pins:
        if plain := _plain(pin, recipe):
            yield Root(requirement=plain, label=f"-r {pin.file}")


def constraints(pins: Iterable[Pin], recipe: Recipe) -> tuple[str, ...]:
    """Return the constraints that hold on a platform of the recipe, each once."""
    return tuple(dict.fromkeys(str(plain) for pin in pins if (plain := _plain(pin, recipe))))


def _plain(pin: Pin, recipe: Recipe) -> Requirement | None:
    """Return a pin whose marker, judged for each platform here, names nothing but machines."""
    platforms = [platform for platform in recipe.platforms if _holds(pin, platform, recipe.python.version)]
    if not platforms:
        return None
    extras = f"[{','.join(sorted(pin.requirement.extras))}]" if pin.requirement.extras else ""
    text = f"{pin.requirement.name}{extras}{pin.requirement.specifier}"
    if len(platforms) == len(recipe.platforms):
        return Requirement(text)
    machines = " or ".join(f"platform_machine == '{platform.machine}'" for platform in platforms)
    return Requirement(f"{text} ; {machines}")


def _holds(pin: Pin, platform: Platform, python: str) -> bool:
    marker = pin.requirement.marker
    if marker is None:
        return True
    environment = cast("dict[str, str | frozenset[str]]", marker_environment(platform, python))
    environment |= {"extras": frozenset(), "dependency_groups": pin.groups}
    return marker.evaluate(environment, context="lock_file")


def only_listed(pylock: Pylock, files: Requirements) -> Pylock:
    """Leave out files whose hash a requirements file does not list.

    Raises:
        ResolveError: that leaves none.
    """
    allowed: dict[str, set[str]] = {}
    places: dict[str, str] = {}
    for pin in (*files.pins, *files.constraints):
        if pin.hashes:
            allowed.setdefault(pin.name, set()).update(pin.hashes)
            places.setdefault(pin.name, pin.place)
    packages = [
        _listed(package, allowed[package.name], places[package.name]) if package.name in allowed else package
        for package in pylock.packages
    ]
    return replace(pylock, packages=packages)


def _listed(package: Package, allowed: Collection[str], place: str) -> Package:
    wheels = [wheel for wheel in package.wheels or () if wheel.hashes.get("sha256") in allowed]
    sdist = package.sdist if package.sdist and package.sdist.hashes.get("sha256") in allowed else None
    if not wheels and sdist is None:
        raise ResolveError(
            f"none of the hashes listed for {package.name} {package.version} is of a file that the index has",
            place=place,
            hint="check that the builder's index is the one that the file was made with: its bytes are others",
        )
    return replace(package, wheels=wheels, sdist=sdist)


def check_closure(pins: Sequence[Pin], requirements: Collection[str], why: Reasons) -> None:
    """Refuse a package without hash that a pinned one needs: a file of hashes names all, or it proves nothing.

    Raises:
        RecipeError: a package is not in the files, and not among the recipe's own requirements.
    """
    files = {pin.name: pin.file for pin in pins}
    for reasons in why.values():
        for (name, _), labels in sorted(reasons.items()):
            parents = [label for label in labels if label in files and label != name]
            if parents and name not in files and not set(labels) & set(requirements):
                raise RecipeError(
                    f"expected {name} with its hashes too: {parents[0]} needs it",
                    place=files[parents[0]],
                    hint="make the file anew for Linux and the recipe's Python, with all that its packages need",
                )
