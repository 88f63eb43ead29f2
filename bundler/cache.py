"""What the content store of the connected host holds, and what of it may go."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bundler.errors import HostError
from bundler.model.progress import Progress
from bundler.store import PIECE_BYTES, in_threads

# What a blob is, by how it begins; the store itself does not know.
_KINDS = (
    (b"PK\x03\x04", "zip"),
    (b"!<arch>\n", "deb"),
    (b"\xed\xab\xee\xdb", "rpm"),
    (b"\x1f\x8b", "archive"),
    (b"\x28\xb5\x2f\xfd", "archive"),
    (b"\xfd7zXZ", "archive"),
    (b"{", "json"),
)
KINDS = ("zip", "deb", "rpm", "archive", "json", "other")
_DAY_S = 86400.0
# The work directories of builds stand beside the blobs.
_WORK = "ferry-build-*"


@dataclass(frozen=True, kw_only=True, slots=True)
class Amount:
    """So many files or directories, and their bytes."""

    count: int = 0
    size: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Survey:
    """What a store holds: blobs by kind, unfinished downloads, results of earlier work, leftovers of killed builds."""

    kinds: tuple[tuple[str, Amount], ...]
    unfinished: Amount
    in_use: int
    results: Amount
    leftovers: Amount
    free_bytes: int

    @property
    def blobs(self) -> Amount:
        """All blobs."""
        return Amount(
            count=sum(amount.count for _, amount in self.kinds), size=sum(amount.size for _, amount in self.kinds)
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """What is to go beside rubbish: nothing, or blobs that no one keeps.

    Kept are the blobs in `keep`, and what was used in the last `days`; `everything` keeps nothing. `check` looks for
    damaged blobs among all that stays.
    """

    keep: frozenset[str] | None = None
    days: float | None = None
    everything: bool = False
    check: bool = False

    @property
    def takes_blobs(self) -> bool:
        """Whether blobs go that are as they should be."""
        return self.everything or self.keep is not None or self.days is not None

    def drops(self, sha256: str, age_s: float) -> bool:
        """Say whether a blob goes."""
        young = self.days is not None and age_s < self.days * _DAY_S
        return self.everything or (self.takes_blobs and not young and sha256 not in (self.keep or ()))

    def drops_result(self, age_s: float) -> bool:
        """Say whether something that was found out goes, of which there is no blob."""
        return self.everything or (self.days is not None and age_s >= self.days * _DAY_S)


@dataclass(frozen=True, kw_only=True, slots=True)
class Removal:
    """A file or directory that goes: `why` is unfinished, leftover, unused, damaged, or orphan (of a blob)."""

    path: Path
    size: int
    why: str


@contextmanager
def in_use(root: Path, *, alone: bool = False) -> Iterator[None]:
    """Keep a store from being pruned meanwhile or, `alone`, from being used.

    Raises:
        HostError: another process is at it.
    """
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("a") as stream:
        try:
            fcntl.flock(stream, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError as error:
            busy = "a build is using the store" if alone else "the store is being pruned"
            raise HostError(
                busy, place=str(root), hint="wait until it has ended, then run the command again"
            ) from error
        yield


def survey(root: Path) -> Survey:
    """Look at a store; one that is not there is empty."""
    blobs: dict[str, list[int]] = {kind: [] for kind in KINDS}
    for path in _files(root / "blobs/sha256"):
        blobs[_kind(path)].append(_size(path))
    parts = _files(root / "parts")
    place = next(place for place in (root, *root.parents) if place.exists())
    disk = os.statvfs(place)
    return Survey(
        kinds=tuple((kind, Amount(count=len(sizes), size=sum(sizes))) for kind, sizes in blobs.items()),
        unfinished=_amount(parts),
        in_use=sum(map(_locked, parts)),
        results=_amount([*_files(root / "derived"), *_files(root / "known")]),
        leftovers=_amount(sorted(root.glob(_WORK))),
        free_bytes=disk.f_bavail * disk.f_frsize,
    )


def plan_prune(root: Path, choice: Choice, *, now: float, progress: Progress) -> list[Removal]:
    """Say what goes; the store must be ours alone from here until it is gone.

    Raises:
        HostError: this is the store of an installed host.
    """
    if (root / "index.json").exists():
        raise HostError(
            "this is the store of an installed host, not a cache",
            place=str(root),
            hint="name the one of your builds in FERRY_STORE",
        )
    blobs = _files(root / "blobs/sha256")
    found = [
        *(_removal(path, "leftover") for path in sorted(root.glob(_WORK))),
        *(_removal(path, "unfinished") for path in _files(root / "parts") if _goes(path, choice, now)),
        *(_removal(path, "unused") for path in blobs if choice.drops(path.name, _age(path, now))),
    ]
    going = {removal.path.name for removal in found if removal.why == "unused"}
    if choice.check:
        damaged = _damaged([path for path in blobs if path.name not in going], progress)
        found += [_removal(path, "damaged") for path in damaged]
        going |= {path.name for path in damaged}
    staying = {path.name for path in blobs} - going
    return [*found, *_orphans(root, staying, choice, now)]


def prune(removals: Sequence[Removal]) -> None:
    """Remove."""
    for removal in removals:
        if removal.path.is_dir() and not removal.path.is_symlink():
            shutil.rmtree(removal.path)
        else:
            removal.path.unlink(missing_ok=True)


def _goes(part: Path, choice: Choice, now: float) -> bool:
    """Say whether an unfinished download goes: never while somebody writes it."""
    young = choice.days is not None and not choice.everything and _age(part, now) < choice.days * _DAY_S
    return not young and not _locked(part)


def _orphans(root: Path, staying: set[str], choice: Choice, now: float) -> Iterator[Removal]:
    """Yield records whose blob goes or is gone, and what a killed process left beside them."""
    for path in _files(root / "known"):
        if path.name not in staying:
            yield _removal(path, "orphan")
    for path in _files(root / "derived"):
        blob = _blob_of(path)
        if path.name.startswith(".") or (blob and blob not in staying):
            yield _removal(path, "orphan")
        elif not blob and choice.drops_result(_age(path, now)):
            yield _removal(path, "unused")


def _blob_of(path: Path) -> str:
    """Return the blob that a result stands for, empty when it has none."""
    try:
        facts = json.loads(path.read_bytes())
        return str(facts.get("blob", ""))
    except (OSError, ValueError, AttributeError, RecursionError):
        return "unreadable"


def _damaged(paths: Sequence[Path], progress: Progress) -> list[Path]:
    """Hash blobs on all cores; return those that are not what their name says."""
    progress.start("check", sum(map(_size, paths)))
    bad: list[Path] = []

    def check(path: Path) -> None:
        digest = hashlib.sha256()
        try:
            with path.open("rb", buffering=0) as stream:
                while piece := stream.read(PIECE_BYTES):
                    digest.update(piece)
                    progress.advance(len(piece))
        except OSError:
            # What the disk cannot give back is no blob.
            bad.append(path)
            return
        if digest.hexdigest() != path.name:
            bad.append(path)

    in_threads([partial(check, path) for path in paths], threads=os.cpu_count() or 1)
    return sorted(bad)


def _files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("*") if path.is_file())


def _kind(path: Path) -> str:
    with path.open("rb") as stream:
        head = stream.read(8)
    return next((kind for magic, kind in _KINDS if head.startswith(magic)), "other")


def _locked(part: Path) -> bool:
    """Say whether a process is writing a part."""
    try:
        with part.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False


def _size(path: Path) -> int:
    try:
        if path.is_dir() and not path.is_symlink():
            return sum(_size(inside) for inside in path.iterdir())
        return path.lstat().st_size
    except FileNotFoundError:
        return 0


def _amount(paths: Sequence[Path]) -> Amount:
    return Amount(count=len(paths), size=sum(map(_size, paths)))


def _age(path: Path, now: float) -> float:
    return now - path.stat().st_mtime


def _removal(path: Path, why: str) -> Removal:
    return Removal(path=path, size=_size(path), why=why)


def total(removals: Sequence[Removal]) -> dict[str, Amount]:
    """Count removals and their bytes by reason."""
    counts = Counter(removal.why for removal in removals)
    return {
        why: Amount(count=count, size=sum(removal.size for removal in removals if removal.why == why))
        for why, count in counts.items()
    }
