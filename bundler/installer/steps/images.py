"""Step `images`: the container runtime of this host has the bundle's images under all their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bundler.errors import HostError, StepError
from bundler.installer.facts import Facts
from bundler.installer.images import OwnName, forget_storage, is_kept, kept_name, record_names
from bundler.installer.runtimes import PACKAGES, find_runtime
from bundler.installer.runtimes.runtime import Runtime, has, tagged
from bundler.installer.steps.step import Action, Job
from bundler.installer.suite import fitting
from bundler.installer.wanted import Wanted
from bundler.model.manifest import Item, Manifest
from bundler.store import Store

NAME = "images"
_SHOWN = 3


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when the runtime lacks a name or has another image under it; never without a runtime.

    Raises:
        HostError: the runtime does not answer.
    """
    missing = missing_names(wanted.manifest, facts)
    return Action(step=NAME, reason=_reason(missing, facts), detail=missing) if missing else None


def _reason(missing: Sequence[str], facts: Facts) -> str:
    if facts.runtime is None:
        return f"the container runtime that comes with this bundle lacks {_listed(missing)}"
    there = facts.runtime.images
    lacks, leads = [name for name in missing if name not in there], [name for name in missing if name in there]
    told = [f"lacks {_listed(lacks)}"] if lacks else []
    told += [f"has another image as {_listed(leads)}"] if leads else []
    return f"{facts.runtime.name} {'; '.join(told)}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def missing_names(manifest: Manifest, facts: Facts) -> tuple[str, ...]:
    """Return the names that the runtime lacks, or that lead elsewhere.

    Raises:
        HostError: the runtime does not answer.
    """
    items = manifest.of_kind("image")
    if not items or not has_runtime(manifest, facts):
        return ()
    if facts.runtime is None:
        return tuple(name for item in items for name in item.names)
    if facts.runtime.problem:
        raise HostError(
            f"expected {facts.runtime.name} to answer: {facts.runtime.problem}",
            place="images",
            hint="start it, or remove its programs where nothing uses it",
        )
    by_tag = not facts.runtime.name.startswith("containerd/")
    pairs = [(item, name) for item in items for name in (map(tagged, item.names) if by_tag else item.names)]
    return tuple(name for item, name in pairs if not has(item, facts.runtime.images.get(name)))


def has_runtime(manifest: Manifest, facts: Facts) -> bool:
    """Say whether a runtime is here, or comes with those of the bundle's packages that fit this host."""
    if facts.runtime is not None:
        return True
    return any(item.kind == "deb" and item.name.partition("_")[0] in PACKAGES for item in fitting(manifest, facts))


def apply(job: Job) -> None:
    """Load what is missing; an image that loses its name is kept under another one until the next time."""
    runtime = find_runtime(job.layout)
    if runtime is None:
        raise HostError("expected the container runtime that this bundle brings, it is not here", place="images")
    own = _forget_kept(runtime, job.facts.own_names)
    there = runtime.images()
    wanted = [(item, _missing(item, runtime, there)) for item in job.wanted.manifest.of_kind("image")]
    moved = {there[name]: name for _, names in wanted for name in names if name in there}
    brought = {digest for one in own for digest in one.digests}
    new = [_own(runtime, name, item.config, item.descriptor.sha256) for item, names in wanted for name in names]
    # An image that others brought stays when Ferry goes.
    new += [_own(runtime, kept_name(digest), digest) for digest in moved if digest in brought]
    record_names(job.layout, [*own, *new])
    for digest, name in moved.items():
        runtime.tag(name, kept_name(digest))
    runtime.load([item for item, names in wanted if names], Store(job.layout.store), job.layout.state / "layout")
    _check(wanted, runtime)


def _forget_kept(runtime: Runtime, own: Sequence[OwnName]) -> list[OwnName]:
    """Remove what earlier runs kept; what a container still uses stays."""
    left = []
    there = runtime.images()
    for one in own:
        if one.runtime == runtime.name and is_kept(one.name) and one.name in there:
            try:
                runtime.remove(one.name)
            except StepError:
                left.append(one)
        else:
            left.append(one)
    return left


def _check(wanted: Sequence[tuple[Item, Sequence[str]]], runtime: Runtime) -> None:
    there = runtime.images()
    for item, names in wanted:
        for name in names:
            if not has(item, there.get(name)):
                raise StepError(f"{runtime.name} took the image and does not have it as {name}", place=item.name)


def _missing(item: Item, runtime: Runtime, there: Mapping[str, str]) -> list[str]:
    return [name for name in runtime.names(item) if not has(item, there.get(name))]


def _own(runtime: Runtime, name: str, *digests: str) -> OwnName:
    return OwnName(runtime=runtime.name, name=name, digests=digests)


def undo(job: Job) -> None:
    """Take the names away that were not there, and give the others back to the images that had them."""
    runtime = find_runtime(job.layout)
    if runtime is not None:
        here = job.facts.runtime is not None and job.facts.runtime.name == runtime.name
        before = job.facts.runtime.images if job.facts.runtime and here else {}
        there = runtime.images()
        for item in job.wanted.manifest.of_kind("image"):
            for name in runtime.names(item):
                if name in before and there.get(name) != before[name]:
                    runtime.tag(kept_name(before[name]), name)
                elif name not in before and name in there:
                    runtime.remove(name)
        for name in runtime.images():
            if is_kept(name) and name not in before:
                runtime.remove(name)
    record_names(job.layout, job.facts.own_names)
    forget_storage(job.layout, job.facts.absent)
