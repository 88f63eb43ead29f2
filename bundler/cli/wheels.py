"""What `ferry lock` says of the wheels that it chose."""

from __future__ import annotations

from collections.abc import Iterator

import click

from bundler.builder import built_packages
from bundler.cli.messages import tr
from bundler.model.lock import Lock
from bundler.resolve.tags import glibc_of
from bundler.target.fit import glibc_floor


def print_wheels(lock: Lock) -> None:
    """Print the C library that the wheels ask for on each platform, and what is built from sdists."""
    for line in (*_floors(lock), *_built(lock)):
        click.echo(f"  {line}")


def _floors(lock: Lock) -> Iterator[str]:
    has = ".".join(map(str, glibc_of(lock.python_suite)))
    for platform in lock.platforms:
        floor, wheel = glibc_floor(lock, platform)
        if floor:
            needs = ".".join(map(str, floor))
            yield tr(
                f"{platform}: wheels ask for glibc {needs} ({wheel}), the runtime has {has}",
                f"{platform}：wheel 需要 glibc {needs}（{wheel}），运行环境为 {has}",
            )


def _built(lock: Lock) -> Iterator[str]:
    built = {f"{one.name} {one.version}": None for each in lock.platforms for one in built_packages(lock, each)}
    if built:
        names = ", ".join(built)
        yield tr(
            f"no wheel published, built from the sdist by `ferry build`: {names}",
            f"未发布 wheel，由 `ferry build` 从源码包构建：{names}",
        )
