"""The names of images that Ferry gave to the container runtime of this host, and how they go again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bundler.installer.layout import Layout
from bundler.installer.packages import own_packages
from bundler.installer.runtimes import find_runtime
from bundler.installer.runtimes.podman import Podman
from bundler.store import write_file

_PODMAN, _STORAGE = "podman", "/var/lib/containers"
_LINE = re.compile(r"(\S+) (\S+) ([0-9a-f]{64}(?:,[0-9a-f]{64})*)")


# What an image is called whose name another one took: an undo needs it, and without a name a runtime may delete it.
_KEPT = "ferry.local/kept:sha256-"


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnName:
    """A name that Ferry gave in a runtime, and the digests that are behind it as long as nobody else took it."""

    runtime: str
    name: str
    digests: tuple[str, ...]


def kept_name(digest: str) -> str:
    """Return what an image is called that lost a name."""
    return f"{_KEPT}{digest}"


def is_kept(name: str) -> bool:
    """Say whether a name is that of an image that lost its own."""
    return name.startswith(_KEPT)


def own_names(layout: Layout) -> tuple[OwnName, ...]:
    """Return what Ferry gave, and was about to when it was cut off."""
    try:
        lines = layout.images.read_text().splitlines()
    except FileNotFoundError:
        return ()
    found = [match for line in lines if (match := _LINE.fullmatch(line))]
    return tuple(OwnName(runtime=one[1], name=one[2], digests=tuple(one[3].split(","))) for one in found)


def record_names(layout: Layout, names: Sequence[OwnName]) -> None:
    """Write down what Ferry gives, before it does; of a name that is there twice the last one counts."""
    lines = {(one.runtime, one.name): f"{one.runtime} {one.name} {','.join(one.digests)}\n" for one in names}
    if lines:
        write_file(layout.images, "".join(lines.values()).encode())
    else:
        layout.images.unlink(missing_ok=True)


def remove_images(layout: Layout) -> None:
    """Take away the names that Ferry gave; one that leads elsewhere by now is not Ferry's any more.

    Raises:
        StepError: a runtime does not answer, or a container uses an image.
    """
    names = own_names(layout)
    for runtime_name in dict.fromkeys(one.runtime for one in names):
        runtime = find_runtime(layout, runtime_name)
        there = runtime.images() if runtime else {}
        for one in names:
            if runtime is not None and one.runtime == runtime_name and there.get(one.name) in one.digests:
                runtime.remove(one.name)
    record_names(layout, ())


def forget_storage(layout: Layout, absent: Sequence[str]) -> None:
    """Remove the storage of a podman that came with Ferry, where there was none before and nothing is in it.

    Raises:
        StepError: podman does not answer.
    """
    if _PODMAN in own_packages(layout) and _STORAGE in absent:
        runtime = find_runtime(layout, _PODMAN)
        if isinstance(runtime, Podman):
            runtime.forget()
