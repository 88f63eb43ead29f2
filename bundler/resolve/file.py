"""Files beside the recipe: every regular file below a source, with its digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from bundler.errors import RecipeError
from bundler.model.lock import LockedPath
from bundler.model.recipe import FileSource

_SKIPPED = {"__pycache__", ".git", ".DS_Store"}


def resolve_files(sources: tuple[FileSource, ...], directory: Path) -> tuple[LockedPath, ...]:
    """List what the recipe's files are now, sorted by where they go.

    Raises:
        RecipeError: a source is missing, leads out of the recipe, holds a link or special file, or two
            sources name one place.
    """
    found: dict[str, LockedPath] = {}
    for index, source in enumerate(sources):
        for path, to in _expand(source, directory, place=f"files[{index}].path"):
            if to in found:
                raise RecipeError(f'two sources name "{to}"', place=f"files[{index}].to")
            found[to] = _locked(path, to, directory)
    return tuple(found[to] for to in sorted(found))


def _expand(source: FileSource, directory: Path, *, place: str) -> Iterator[tuple[Path, str]]:
    start = directory / source.path
    if not start.exists():
        raise RecipeError(f'expected a file or directory, "{source.path}" is not there', place=place)
    if start.resolve() != directory.resolve() / source.path:
        raise RecipeError(f'"{source.path}" leads through a link', place=place, hint="copy what it points to")
    if not start.is_dir():
        _check_regular(start, directory, place=place)
        yield start, source.to
        return
    for path in _walk(start):
        _check_regular(path, directory, place=place)
        yield path, str(PurePosixPath(source.to, path.relative_to(start).as_posix()))


def _check_regular(path: Path, directory: Path, *, place: str) -> None:
    name = path.relative_to(directory).as_posix()
    if path.is_symlink() or not path.is_file():
        raise RecipeError(
            f'expected regular files, "{name}" is a link or special file',
            place=place,
            hint="copy what it points to",
        )
    if not name.isprintable() or "\\" in name:
        raise RecipeError(f"expected a printable name without backslashes, got {name!r}", place=place)


def _walk(start: Path) -> Iterator[Path]:
    for path in sorted(start.iterdir()):
        if path.name in _SKIPPED or path.suffix == ".pyc":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path


def _locked(path: Path, to: str, directory: Path) -> LockedPath:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    status = path.stat()
    return LockedPath(
        path=path.relative_to(directory).as_posix(),
        to=to,
        size=status.st_size,
        sha256=digest,
        executable=bool(status.st_mode & 0o100),
    )
