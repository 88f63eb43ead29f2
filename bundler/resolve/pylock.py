"""Locks of PEP 751 as files of requirements: exact pins, and which files may answer them.

Of such a lock only names, versions, markers and hashes count; where its files are is the business of the builder.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence

from packaging.pylock import Package, Pylock, PylockValidationError
from packaging.requirements import Requirement

from bundler.errors import RecipeError
from bundler.resolve.pin import Pin


def pylock_pins(text: str, path: str) -> Iterator[Pin]:
    """Yield the pins of a lock of PEP 751, given as its text.

    Raises:
        RecipeError: it is none, or has a package from elsewhere than an index, or without SHA-256.
    """
    try:
        pylock = Pylock.from_dict(tomllib.loads(text))
    except (tomllib.TOMLDecodeError, PylockValidationError, RecursionError) as error:
        raise RecipeError(f"expected a lock file of PEP 751: {error}", place=path) from error
    for index, package in enumerate(pylock.packages):
        yield _pylock_pin(package, path, place=f"{path}: packages[{index}]", groups=pylock.default_groups or ())


def _pylock_pin(package: Package, path: str, *, place: str, groups: Sequence[str]) -> Pin:
    if package.version is None or package.vcs or package.directory or package.archive:
        raise RecipeError(f"expected {package.name} from a package index, got another source", place=place)
    hashes = [wheel.hashes.get("sha256", "").lower() for wheel in package.wheels or ()]
    hashes += [package.sdist.hashes.get("sha256", "").lower()] if package.sdist else []
    if not all(hashes) or not hashes:
        raise RecipeError(f"expected a sha256 for each file of {package.name}, got others or none", place=place)
    requirement = Requirement(f"{package.name}=={package.version}")
    requirement.marker = package.marker
    return Pin(requirement=requirement, hashes=frozenset(hashes), place=place, file=path, groups=frozenset(groups))
