"""Bundles on sticks and discs: found by their heads, which nobody believes yet, and read where they are."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bundler.archive import BLOCK, header, read_head, shown_name
from bundler.errors import FerryError, IntegrityError
from bundler.installer.inbox.places import is_being_written
from bundler.model.volume import LABEL_BYTES, NAME, Label, parse_label
from bundler.source import FileSource, as_stream, read_at, readable

_SUFFIX = ".tar"


@dataclass(frozen=True, kw_only=True, slots=True)
class OnStick:
    """A bundle on a stick: `path` is the bundle or the first of its volumes, `missing` how many volumes are not there.

    What is here goes by what the head says, unchecked.
    """

    path: Path
    manifest_sha256: str
    files: tuple[Path, ...]
    missing: int = 0

    def is_being_written(self) -> bool:
        """Say whether someone still copies it to the stick."""
        return any(map(_is_being_written, self.files))

    def is_there(self) -> bool:
        """Say whether the stick still holds it."""
        with suppress(FerryError):
            return _read(self.path).manifest_sha256 == self.manifest_sha256
        return False


@dataclass(frozen=True, kw_only=True, slots=True)
class Stick:
    """What a directory for media holds: bundles by name, and files that are none, each with the reason.

    `is_there` says whether the directory can be read; without a medium it is mostly empty.
    """

    directory: Path
    is_there: bool
    bundles: tuple[OnStick, ...] = ()
    others: tuple[tuple[Path, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Start:
    path: Path
    manifest_sha256: str
    label: Label | None


def read_stick(directory: Path) -> Stick:
    """Look what a directory holds; one that is not there, or whose medium is gone, holds nothing."""
    try:
        paths = sorted(directory.iterdir())
    except OSError:
        return Stick(directory=directory, is_there=False)
    starts, others = [], []
    for path in paths:
        # What stands beside files on sticks of some desktops begins with a dot.
        if path.name.startswith(".") or path.suffix != _SUFFIX:
            continue
        try:
            starts.append(_read(path))
        except FerryError as error:
            others.append((path.with_name(shown_name(path.name).strip('"')), str(error)))
    bundles = tuple(sorted(_bundles(starts), key=lambda one: one.path))
    return Stick(directory=directory, is_there=True, bundles=bundles, others=tuple(others))


def _read(path: Path) -> _Start:
    """Read the start of a file.

    Raises:
        IntegrityError: it is neither a bundle nor a volume, or cannot be read.
        HostError: the medium is gone.
    """
    if not path.name.isprintable():
        # It will stand in messages and in the audit log.
        raise IntegrityError("expected a file name of printable characters in UTF-8, got another")
    with readable(str(path)):
        if not stat.S_ISREG(path.lstat().st_mode):
            raise IntegrityError("expected a regular file, got something else", place=str(path))
    with FileSource(path) as source, readable(str(path)):
        head = read_head(as_stream(source))
        is_volume = read_at(source, BLOCK, head.end) == header(NAME, LABEL_BYTES)
        label = parse_label(read_at(source, LABEL_BYTES, head.end + BLOCK)) if is_volume else None
    return _Start(path=path, manifest_sha256=hashlib.sha256(head.manifest).hexdigest(), label=label)


def _bundles(starts: Iterable[_Start]) -> Iterator[OnStick]:
    """Yield each bundle once: a whole one before its volumes, of several cuts the one of which most is there."""
    by_manifest: dict[str, list[_Start]] = {}
    for start in starts:
        by_manifest.setdefault(start.manifest_sha256, []).append(start)
    for sha256, found in by_manifest.items():
        whole = [start.path for start in found if start.label is None]
        if whole:
            yield OnStick(path=whole[0], manifest_sha256=sha256, files=(whole[0],))
        else:
            yield min((_set(sha256, cut) for cut in _cuts(found)), key=lambda one: (one.missing, one.path))


def _cuts(starts: Iterable[_Start]) -> Iterable[list[tuple[Label, Path]]]:
    cuts: dict[tuple[str, int, int, int], list[tuple[Label, Path]]] = {}
    for start in starts:
        if start.label is not None:
            cuts.setdefault(start.label.cut, []).append((start.label, start.path))
    return cuts.values()


def _set(sha256: str, volumes: list[tuple[Label, Path]]) -> OnStick:
    """Return a bundle in volumes; any volume of parity stands for one that is missing."""
    by_number = {label.number: path for label, path in sorted(volumes, key=lambda one: (one[0].number, one[1]))}
    return OnStick(
        path=by_number[min(by_number)],
        manifest_sha256=sha256,
        files=tuple(by_number[number] for number in sorted(by_number)),
        missing=max(0, volumes[0][0].count - len(by_number)),
    )


def _is_being_written(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        return is_being_written(fd)
    finally:
        os.close(fd)
