"""Files: every regular file below a source, or behind its URL, with its digest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bundler.errors import RecipeError
from bundler.model.files import FileSource, LockedPath, source_root
from bundler.model.path import TOO_LONG, folded, is_short
from bundler.resolve.digests import Digests, Measured
from bundler.resolve.weights import check_weights, find_snapshot, is_pickle, is_pickle_index, snapshot_purl

_SKIPPED = {"__pycache__", ".git", ".DS_Store"}
_IN_IMAGES_UP_TO_BYTES = 1024 * 1024 * 1024
_COPY = "copy what it points to"


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    source: FileSource
    path: Path
    to: str
    purl: str = ""


def resolve_files(
    sources: tuple[FileSource, ...],
    directory: Path,
    *,
    digests: Digests | None = None,
    before: Sequence[LockedPath] = (),
    length: Callable[[str], int] | None = None,
) -> tuple[LockedPath, ...]:
    """List what the recipe's files are now, sorted by where they go.

    The size behind a URL is the recipe's, or what `length` says; without `length` nothing is asked, and it is that of
    the same URL and digest in `before`, or -1.

    Raises:
        RecipeError: a source is missing, leads out of the recipe, holds a link or special file, or two
            sources name one place.
    """
    named: set[str] = set()
    taken: dict[str, str] = {}
    found: list[_Found] = []
    locked: list[LockedPath] = []
    for index, source in enumerate(sources):
        for path, to in _expand(source, directory, index=index):
            if not is_short(to):
                raise RecipeError(TOO_LONG, place=f"files[{index}].to")
            if (other := taken.setdefault(folded(to), to)) != to:
                one = f'two sources name one place where cases or forms of Unicode are one, "{other}" and "{to}"'
                raise RecipeError(one, place=f"files[{index}].to")
            if to in named:
                raise RecipeError(f'two sources name "{to}"', place=f"files[{index}].to")
            named.add(to)
            if path is None:
                locked.append(_locked_url(source, before, length))
            else:
                found.append(_Found(source=source, path=path, to=to, purl=_purl(source, directory)))
    measured = (digests or Digests()).measure([one.path for one in found])
    locked += [_locked(one, what, directory) for one, what in zip(found, measured, strict=True)]
    return tuple(sorted(locked, key=lambda file: file.to))


def _locked(found: _Found, measured: Measured, directory: Path) -> LockedPath:
    path = found.path
    if not _is_outside(found.source):
        path = path.relative_to(source_root(directory, shared=found.source.shared))
    return LockedPath(
        path=path.as_posix(),
        to=found.to,
        size=measured.size,
        sha256=measured.sha256,
        executable=measured.executable,
        image=_in_image(found.source, measured.size),
        purl=found.purl,
        shared=found.source.shared,
    )


def _purl(source: FileSource, directory: Path) -> str:
    if source.purl or not source.weights:
        return source.purl
    return snapshot_purl(find_snapshot(directory / source.path))


def _is_outside(source: FileSource) -> bool:
    return source.path.startswith("/")


def _in_image(source: FileSource, size: int) -> bool:
    if source.image is not None:
        return source.image
    return not source.weights and size <= _IN_IMAGES_UP_TO_BYTES


def _locked_url(source: FileSource, before: Sequence[LockedPath], length: Callable[[str], int] | None) -> LockedPath:
    size = source.size
    if size is None and length is not None:
        size = length(source.url)
    if size is None:
        size = next((file.size for file in before if (file.url, file.sha256) == (source.url, source.sha256)), -1)
    return LockedPath(
        path="",
        url=source.url,
        to=source.to,
        size=size,
        sha256=source.sha256,
        executable=source.executable,
        image=_in_image(source, size),
        purl=source.purl,
    )


def _expand(source: FileSource, directory: Path, *, index: int) -> Iterator[tuple[Path | None, str]]:
    """Yield each file with its place; None for one behind a URL."""
    if source.url:
        yield None, source.to
        return
    place = f"files[{index}].{'weights' if source.weights else 'path'}"
    directory = source_root(directory, shared=source.shared)
    start = directory / source.path
    if source.weights:
        yield from _weights(source, find_snapshot(start), place=place)
        return
    if any(one in source.path for one in "*?["):
        yield from _glob(source, directory, place=place)
        return
    if not start.exists():
        raise RecipeError(f'expected a file or directory, "{source.path}" is not there', place=place)
    if not _is_outside(source):
        _check_inside(start, directory, source.path, place=place)
    if not start.is_dir():
        _check_regular(start, source.path, place=place)
        yield start, source.to
        return
    for path in _walk(start):
        inside = path.relative_to(start).as_posix()
        _check_regular(path, str(PurePosixPath(source.path, inside)), place=place)
        yield path, str(PurePosixPath(source.to, inside))


def _glob(source: FileSource, directory: Path, *, place: str) -> Iterator[tuple[Path, str]]:
    """Yield the files that a pattern names, by their path below the last directory without a wildcard."""
    parts = PurePosixPath(source.path).parts
    first = next(number for number, part in enumerate(parts) if any(one in part for one in "*?["))
    start = directory.joinpath(*parts[:first])
    paths = [
        path
        for path in sorted(start.glob("/".join(parts[first:])))
        if not path.is_dir() and not any(map(_is_skipped, path.relative_to(start).parts))
    ]
    if not paths:
        raise RecipeError(f'expected files, nothing is like "{source.path}"', place=place)
    for path in paths:
        inside = path.relative_to(start)
        _check_regular(path, str(PurePosixPath(*parts[:first], inside.as_posix())), place=place)
        _check_inside(path, start if _is_outside(source) else directory, None, place=place)
        yield path, str(PurePosixPath(source.to, inside.as_posix()))


def _weights(source: FileSource, start: Path, *, place: str) -> Iterator[tuple[Path, str]]:
    if not start.is_dir():
        raise RecipeError(f'expected a directory, "{source.path}" is none', place=place)
    check_weights(start, place=place, pickles=source.pickles != "skip")
    for path in _walk(start):
        inside = path.relative_to(start)
        if ".cache" in inside.parts or path.suffix == ".lock":
            continue
        # The cache of Hugging Face's own tools links each file to `blobs` beside `snapshots`.
        homes = (start.resolve(), start.resolve().parent.parent / "blobs")
        if not path.is_symlink() or not any(path.resolve().is_relative_to(home) for home in homes):
            _check_regular(path, inside.as_posix(), place=place)
        if not path.is_file():
            raise RecipeError(f'expected a file, "{inside}" links to nothing', place=place)
        if source.pickles == "skip" and (is_pickle(path) or is_pickle_index(path)):
            continue
        if source.pickles == "refuse" and is_pickle(path):
            raise RecipeError(
                f'expected weights that are data alone, "{inside}" is a pickle: it runs code when it is loaded',
                place=place,
                hint='take weights in safetensors; or say "pickles: skip" or "pickles: carry" beside it',
            )
        yield path, str(PurePosixPath(source.to, inside.as_posix()))


def _check_inside(path: Path, directory: Path, name: str | None, *, place: str) -> None:
    inside = path.relative_to(directory)
    if path.resolve() != directory.resolve() / inside:
        raise RecipeError(f'"{name or inside}" leads through a link', place=place, hint=_COPY)


def _check_regular(path: Path, name: str, *, place: str) -> None:
    if path.is_symlink() or not path.is_file():
        raise RecipeError(f'expected regular files, "{name}" is a link or special file', place=place, hint=_COPY)
    if not name.isprintable() or "\\" in name:
        raise RecipeError(f"expected a printable name without backslashes, got {name!r}", place=place)


def _is_skipped(name: str) -> bool:
    return name in _SKIPPED or name.endswith(".pyc")


def _walk(start: Path) -> Iterator[Path]:
    for path in sorted(start.iterdir()):
        if _is_skipped(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        else:
            yield path
