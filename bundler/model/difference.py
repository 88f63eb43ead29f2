"""How two sets of things differ, thing by thing and in bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bundler.model.platform import Platform


@dataclass(frozen=True, kw_only=True, slots=True)
class Thing:
    """One thing of a lock or bundle for one platform, or for all where that is None.

    `blobs` are the SHA-256 in hex and the size in bytes of each of its files.
    """

    kind: str
    name: str
    version: str
    platform: Platform | None
    blobs: tuple[tuple[str, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """How one thing differs: `old` and `new` are versions, empty where it is not there.

    Equal versions mean other files under the same version. `entering_bytes` are those of files that are not in the
    old one at all.
    """

    kind: str
    name: str
    old: str
    new: str
    entering_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """How what is new differs from what was; files and bytes enter the zone, or leave it, each content once."""

    changes: tuple[Change, ...]
    entering: int
    entering_bytes: int
    leaving: int
    leaving_bytes: int


def compare_things(old: Sequence[Thing], new: Sequence[Thing], *, staying: str = "") -> Comparison:
    """Compare thing by thing, in the order of kinds, then of names; things of the kind `staying` cross nothing."""
    before, after = _grouped(old), _grouped(new)
    kinds = list(dict.fromkeys(thing.kind for thing in (*old, *new)))
    had, has = _blobs(old, staying), _blobs(new, staying)
    entering = {sha256: size for sha256, size in has.items() if sha256 not in had}
    leaving = {sha256: size for sha256, size in had.items() if sha256 not in has}
    changed = [key for key in {**before, **after} if before.get(key) != after.get(key)]
    changed.sort(key=lambda key: (kinds.index(key[0]), key[1]))
    return Comparison(
        changes=tuple(_change(key, before.get(key, ()), after.get(key, ()), entering) for key in changed),
        entering=len(entering),
        entering_bytes=sum(entering.values()),
        leaving=len(leaving),
        leaving_bytes=sum(leaving.values()),
    )


def _grouped(things: Sequence[Thing]) -> dict[tuple[str, str], tuple[Thing, ...]]:
    found: dict[tuple[str, str], tuple[Thing, ...]] = {}
    for thing in sorted(things, key=lambda thing: (str(thing.platform), thing.version)):
        found[thing.kind, thing.name] = (*found.get((thing.kind, thing.name), ()), thing)
    return found


def _blobs(things: Sequence[Thing], staying: str) -> dict[str, int]:
    return {sha256: size for thing in things if thing.kind != staying for sha256, size in thing.blobs}


def _change(
    key: tuple[str, str], old: tuple[Thing, ...], new: tuple[Thing, ...], entering: Mapping[str, int]
) -> Change:
    blobs = {sha256: size for thing in new for sha256, size in thing.blobs if sha256 in entering}
    return Change(kind=key[0], name=key[1], old=_version(old), new=_version(new), entering_bytes=sum(blobs.values()))


def _version(group: tuple[Thing, ...]) -> str:
    """Return the version, or each platform's where they differ."""
    versions = {thing.version for thing in group}
    if len(versions) == 1:
        return versions.pop()
    return ", ".join(f"{thing.version} ({thing.platform})" for thing in group)
