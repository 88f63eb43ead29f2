"""`ferry why`: what pulled something into a lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import click
from packaging.utils import canonicalize_name

from bundler.cli.make import RECIPE
from bundler.cli.messages import tr
from bundler.errors import RecipeError
from bundler.load import read_lock
from bundler.model.lock import Lock
from bundler.model.wheel import LockedPackage

# More of them say nothing more to a reader.
_MOST_CHAINS = 5


@click.command(
    "why",
    short_help=tr("Say what pulled a package into a lock.", "说明锁定文件为何包含某个包。"),
    help=tr(
        "Say what pulled NAME into RECIPE's lock, and through what: a Python package, a package for the host or of the "
        "runtime, or an image by its reference.",
        "说明 RECIPE 的锁定文件因何包含 NAME：Python 包、主机或运行时的系统包，或镜像（按引用）。",
    ),
    epilog=tr(
        "Examples:  ferry why recipes/agentscope httpx  |  ferry why recipes/agentscope libjq1",
        "示例：ferry why recipes/agentscope httpx  |  ferry why recipes/agentscope libjq1",
    ),
)
@RECIPE
@click.argument("name")
def why_command(recipe: Path, name: str) -> None:
    """Show the chains to a package, and the reasons of everything else."""
    lock = read_lock(recipe)
    found = [*_python(lock, name), *_system(lock, name), *_images(lock, name)]
    if not found:
        raise RecipeError(f'nothing in the lock is called "{name}"', hint="see recipe.lock.yaml")
    for line in found:
        click.echo(line)


def _python(lock: Lock, name: str) -> Iterator[str]:
    sections = {"wheels": lock.wheels, "build": lock.build, "toolchain": lock.toolchain}
    for section, packages in sections.items():
        for package in packages:
            if canonicalize_name(package.name) == canonicalize_name(name):
                platforms = ", ".join(str(one) for one in lock.platforms if package.file_for(one))
                yield f"{package.name} {package.version} ({section}; {platforms})"
                yield from _told_chains(package, packages)


def _system(lock: Lock, name: str) -> Iterator[str]:
    """Packages of the runtime and of the host: the lock names the recipe's packages that need them."""
    sections = {"python.debs": lock.debs, "os_debs": lock.os_debs}
    for section, debs in sections.items():
        groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for deb in debs:
            if deb.name == name:
                groups.setdefault((deb.version, deb.why), []).append(str(deb.platform))
        for (version, why), platforms in groups.items():
            yield f"{name} {version} ({section}; {', '.join(platforms)})"
            yield from (f"  {one} > {name}" if one != name else f"  {_NAMED}" for one in why)
            if not why:
                yield "  " + tr("apt adds it to every system", "apt 为每个系统添加")
    for rpm in lock.rpms:
        if rpm.name == name:
            yield f"{name} {rpm.version} (rpms; {rpm.platform})"


def _images(lock: Lock, name: str) -> Iterator[str]:
    for image in lock.images:
        if name in (str(image.reference), *image.names):
            yield f"{image.reference} ({image.platform or tr('every platform', '全部平台')})"
            yield from (f"  {one}" for one in image.why or (_NAMED,))


_NAMED = tr("the recipe names it", "配方直接指定")


def _told_chains(package: LockedPackage, packages: Sequence[LockedPackage]) -> Iterator[str]:
    if not package.why:
        yield "  " + tr("the lock does not say: lock the recipe again", "锁定文件未记录：请重新锁定")
        return
    chains = sorted(_chains(package.name, {one.name: one.why for one in packages}), key=lambda one: (len(one), one))
    for chain in chains[:_MOST_CHAINS]:
        yield "  " + " > ".join(chain)
    if (rest := len(chains) - _MOST_CHAINS) > 0:
        yield "  " + tr(f"and {rest} more", f"另有 {rest} 条")


def _chains(name: str, why: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, ...]]:
    """Yield, for each that pulled `name` directly, the shortest chain from a requirement down to it."""
    for label in why[name]:
        if label == name or label not in why:
            yield label, name
        elif above := _shortest(label, why, seen=frozenset({name})):
            yield *above, name


def _shortest(name: str, why: Mapping[str, Sequence[str]], *, seen: frozenset[str]) -> tuple[str, ...] | None:
    """Return the shortest chain from a requirement to `name` that goes through none of `seen`."""
    front: list[tuple[str, ...]] = [(name,)]
    known = {*seen, name}
    while front:
        for chain in front:
            if labels := [one for one in why[chain[0]] if one == chain[0] or one not in why]:
                return (labels[0], *chain)
        longer = {parent: (parent, *chain) for chain in reversed(front) for parent in reversed(why[chain[0]])}
        front = [longer[parent] for parent in sorted(longer) if parent not in known]
        known |= set(longer)
    return None
