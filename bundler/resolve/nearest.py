"""What to tell about packages that have no file for a platform: which, who wants them, and which version has one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler import uv
from bundler.errors import ResolveError
from bundler.indexes import Index
from bundler.model.platform import Platform
from bundler.model.recipe import Recipe
from bundler.resolve.tags import glibc_of

# Each costs two questions; who lacks more has another problem than their versions.
_MOST_ASKED = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """A package that has neither a wheel nor an sdist for a platform, and what pulled it.

    `listed_in` is the requirements file that lists which of its files may be taken.
    """

    name: str
    version: str
    platform: Platform
    why: tuple[str, ...]
    listed_in: str = ""


def report(missing: Sequence[Missing], recipe: Recipe, indexes: Mapping[str, Index], *, what: str) -> ResolveError:
    """Return the error that names every package, with the nearest versions that have a wheel as of the recipe's day."""
    lines = []
    for index, one in enumerate(missing):
        near = _near(one, recipe, indexes.get(one.name)) if index < _MOST_ASKED else None
        lines.append(f"  {_line(one)}" + (f"; {near}" if near else ""))
    glibc = ".".join(map(str, glibc_of(recipe.python.suite)))
    return ResolveError(
        f"expected a wheel for CPython {recipe.python.version} and glibc {glibc}, or an sdist, of each package; "
        f"{len(missing)} {'has' if len(missing) == 1 else 'have'} none:\n" + "\n".join(lines),
        place=what,
        hint="ask for a version that has one, leave out the platform, or take a newer suite for the runtime",
    )


def _line(one: Missing) -> str:
    by = [label for label in one.why if label != one.name]
    line = f"{one.name} {one.version} for {one.platform}" + (f", wanted by {', '.join(by)}" if by else "")
    return line + (f" (of the files whose hashes {one.listed_in} lists)" if one.listed_in else "")


def _near(one: Missing, recipe: Recipe, index: Index | None) -> str:
    older = _version(f"{one.name}<{one.version}", one.platform, recipe, index, lowest=False)
    newer = _version(f"{one.name}>{one.version}", one.platform, recipe, index, lowest=True)
    found = [f"{version} ({which})" for version, which in ((older, "older"), (newer, "newer")) if version]
    if not found:
        return f"no version as of {recipe.as_of} has a wheel"
    return f"{' and '.join(found)} {'has' if len(found) == 1 else 'have'} a wheel"


def _version(requirement: str, platform: Platform, recipe: Recipe, index: Index | None, *, lowest: bool) -> str | None:
    tag = uv.platform_tag(platform.machine, glibc_of(recipe.python.suite))
    with tempfile.TemporaryDirectory(prefix="ferry-uv-") as work:
        return uv.version_with_wheel(
            requirement,
            lowest=lowest,
            tag=tag,
            python=recipe.python.version,
            as_of=recipe.as_of,
            work=Path(work),
            index=index,
        )
