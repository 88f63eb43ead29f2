"""Python packages: exact versions as of a date, and the one file of each that serves each platform."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from packaging.pylock import Package, PackageSdist, PackageWheel, Pylock, PylockSelectError
from packaging.utils import canonicalize_name

from bundler import uv
from bundler.errors import RecipeError, ResolveError
from bundler.indexes import Index, find_index
from bundler.logins import Logins
from bundler.model.platform import Platform
from bundler.model.recipe import Recipe
from bundler.model.wheel import LockedFile, LockedPackage
from bundler.resolve.length import content_length
from bundler.resolve.nearest import Missing, report
from bundler.resolve.pin import Requirements
from bundler.resolve.pins import Reasons, check_closure, constraints, only_listed, pinned
from bundler.resolve.requirements import parse_requirement
from bundler.resolve.tags import marker_environment, wheel_tags
from bundler.resolve.why import Key, Root, reasons
from bundler.transport import Transport

_NO_FILES = Requirements()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Wanted:
    """What is resolved at once: requirements with their labels, pins of files, and the indexes of single packages."""

    roots: tuple[Root, ...]
    files: Requirements
    indexes: Mapping[str, Index]
    recipe: Recipe
    what: str
    kept: tuple[str, ...] = ()

    def question(self, *, machines: tuple[str, ...]) -> uv.Question:
        direct = [str(root.requirement) for root in self.roots]
        return uv.Question(
            # uv takes an index only for what the project itself names; what nothing needs is dropped afterwards.
            requirements=(*dict.fromkeys(direct), *self.indexes),
            constraints=(*constraints(self.files.constraints, self.recipe), *self.kept),
            python=self.recipe.python.version,
            as_of=self.recipe.as_of,
            machines=machines,
            indexes=tuple(sorted(self.indexes.items())),
            dateless=tuple(name for name in sorted(self.indexes) if self._is_exact(name)),
        )

    def _is_exact(self, name: str) -> bool:
        """Whether the recipe itself fixes the version: no date is needed then, which many an own index lacks."""
        return any(
            canonicalize_name(root.requirement.name) == name
            and any(one.operator == "==" and not one.version.endswith("*") for one in root.requirement.specifier)
            for root in self.roots
        )


def resolve_wheels(
    requirements: tuple[str, ...],
    recipe: Recipe,
    *,
    what: str,
    files: Requirements = _NO_FILES,
    indexes: tuple[tuple[str, str], ...] = (),
    kept: tuple[str, ...] = (),
) -> tuple[LockedPackage, ...]:
    """Resolve requirements for all platforms of a recipe; `what` names the field in messages.

    Of a package that `files` pins, only a file whose hash stands there is taken. `kept` are exact pins of what must
    not move, whether or not it is needed.

    Raises:
        ResolveError: no answer, or a package has neither a wheel nor an sdist for a platform.
        RecipeError: a file of requirements lacks what its pins need, or an index is named for what nothing needs.
    """
    roots = (*_direct(requirements, what), *pinned(files.pins, recipe))
    if not roots and not indexes:
        return ()
    named = {package: find_index(name) for package, name in indexes}
    wanted = _Wanted(roots=roots, files=files, indexes=named, recipe=recipe, what=what, kept=kept)
    answer = _lock(wanted)
    why = {
        platform: reasons(answer.graph, roots, marker_environment(platform, recipe.python.version))
        for platform in recipe.platforms
    }
    check_closure(files.pins, requirements, why)
    _check_indexes(answer.files, named, why, what)
    return _packages(wanted, answer.files, why)


def _direct(requirements: tuple[str, ...], what: str) -> Iterator[Root]:
    for index, text in enumerate(requirements):
        yield Root(requirement=parse_requirement(text, f"{what}[{index}]"), label=text)


def _lock(wanted: _Wanted) -> uv.Answer:
    machines = tuple(platform.machine for platform in wanted.recipe.platforms)
    try:
        answer = _ask(wanted, machines)
    except ResolveError as error:
        if wanted.kept:
            error.hint = "others must move too: name them with --update as well, or lock everything anew"
            raise
        if missing := _missing_anywhere(wanted):
            raise report(missing, wanted.recipe, wanted.indexes, what=wanted.what) from error
        raise
    return replace(answer, files=only_listed(answer.files, wanted.files))


def _ask(wanted: _Wanted, machines: tuple[str, ...]) -> uv.Answer:
    with tempfile.TemporaryDirectory(prefix="ferry-uv-") as work:
        return uv.lock(wanted.question(machines=machines), work=Path(work))


def _missing_anywhere(wanted: _Wanted) -> list[Missing]:
    """Resolve without a machine in mind, and say which of the answer has no file for a platform."""
    try:
        answer = _ask(wanted, ())
        files = only_listed(answer.files, wanted.files)
    except ResolveError:
        return []
    missing: list[Missing] = []
    for platform in wanted.recipe.platforms:
        why = reasons(answer.graph, wanted.roots, marker_environment(platform, wanted.recipe.python.version))
        missing += _select(files, platform, wanted, why)[1]
    return missing


def _packages(wanted: _Wanted, pylock: Pylock, why: Reasons) -> tuple[LockedPackage, ...]:
    chosen: dict[Key, dict[Platform, LockedFile]] = {}
    missing: list[Missing] = []
    for platform in wanted.recipe.platforms:
        found, lacking = _select(pylock, platform, wanted, why[platform])
        missing += lacking
        for key, file in found:
            chosen.setdefault(key, {})[platform] = file
    if missing:
        raise report(missing, wanted.recipe, wanted.indexes, what=wanted.what)
    return tuple(
        LockedPackage(
            name=key[0],
            version=key[1],
            files=_merged(chosen[key]),
            why=_merged_why([why[platform].get(key, ()) for platform in wanted.recipe.platforms]),
            index=wanted.indexes[key[0]].name if key[0] in wanted.indexes else "",
        )
        for key in sorted(chosen)
    )


def _select(
    pylock: Pylock, platform: Platform, wanted: _Wanted, why: Mapping[Key, tuple[str, ...]]
) -> tuple[list[tuple[Key, LockedFile]], list[Missing]]:
    """Choose the file of each package that `why` knows, and name the packages that have none."""
    python = wanted.recipe.python
    environment = marker_environment(platform, python.version)
    tags = wheel_tags(platform, python.version, python.suite)
    listed = {pin.name: pin.file for pin in (*wanted.files.constraints, *wanted.files.pins) if pin.hashes}
    found: list[tuple[Key, LockedFile]] = []
    missing: list[Missing] = []
    for package in pylock.packages:
        key = (package.name, str(package.version))
        if key not in why:
            continue
        try:
            selected = list(replace(pylock, packages=[package]).select(environment=environment, tags=tags))
        except PylockSelectError:
            listed_in = listed.get(key[0], "")
            missing.append(Missing(name=key[0], version=key[1], platform=platform, why=why[key], listed_in=listed_in))
            continue
        found += [(key, _file(package, artifact, platform, wanted.what)) for _, artifact in selected]
    return found, missing


def _check_indexes(pylock: Pylock, indexes: Mapping[str, Index], why: Reasons, what: str) -> None:
    wanted = {name for reasons_here in why.values() for name, _ in reasons_here}
    for name, index in sorted(indexes.items()):
        if name not in wanted:
            raise RecipeError("nothing that the recipe names needs it", place=f"indexes.{name}")
        for package in pylock.packages:
            if package.name == name and not index.is_at(package.index or ""):
                raise ResolveError(f'uv took {name} from another index than "{index.name}"', place=what)


def _file(package: Package, artifact: object, platform: Platform, what: str) -> LockedFile:
    place = f"{what}: {package.name} {package.version}"
    if not isinstance(artifact, PackageWheel | PackageSdist):
        raise ResolveError("expected a wheel or an sdist of an index, got another source", place=place)
    digest = artifact.hashes.get("sha256")
    if digest is None:
        raise ResolveError("expected a sha256 from the index, got none", place=place)
    size = artifact.size or _size(artifact.url)
    if not size:
        raise ResolveError("expected the size from the index or the server of the file, got none", place=place)
    return LockedFile(name=artifact.filename, size=size, sha256=digest, platforms=(platform,))


def _size(url: str | None) -> int:
    """Ask for the size of a file: an index of plain HTML (PEP 503) does not say it."""
    return content_length(url, Transport(), Logins().headers) if url else 0


def _merged(files: Mapping[Platform, LockedFile]) -> tuple[LockedFile, ...]:
    merged: dict[str, LockedFile] = {}
    for platform, file in files.items():
        before = merged.get(file.name)
        platforms = (*(before.platforms if before else ()), platform)
        merged[file.name] = LockedFile(name=file.name, size=file.size, sha256=file.sha256, platforms=platforms)
    return tuple(merged[key] for key in sorted(merged))


def _merged_why(each: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Join what holds on each platform: requirements in their order, then packages, sorted."""
    labels = dict.fromkeys(label for labels in each for label in labels)
    return tuple(labels)
