"""`ferry export`: what a lock holds, for other tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from packaging.pylock import is_valid_pylock_path

from bundler.build import read_inputs
from bundler.cli.make import RECIPE, store_directory
from bundler.cli.messages import tr
from bundler.cli.progress import Shown
from bundler.cli.sevenzip import sevenzip_command
from bundler.errors import RecipeError
from bundler.export import fetch_wheels, format_requirements, write_pylock, write_wheels
from bundler.load import read_lock
from bundler.model.lock import Lock
from bundler.model.platform import PLATFORMS, Platform, parse_platform
from bundler.resolve.digests import Digests
from bundler.store import Store, write_file


def _platform(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--platform",
        type=click.Choice([str(one) for one in PLATFORMS]),
        help=tr("Default: all of the lock.", "默认：锁定文件中的全部平台。"),
    )(command)


class _Forms(click.Group):
    """A group whose form of a bundle may be named as an option too: `ferry export --7z`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, ["7z" if arg == "--7z" else arg for arg in args])


@click.group(
    "export",
    cls=_Forms,
    short_help=tr("Write a lock's wheels, or a bundle, for other tools.", "为其他工具导出 wheel 或数据包。"),
    help=tr(
        "Write the wheels of a lock in the form that other installers read, or a bundle as an encrypted archive.",
        "以其他安装工具可读的形式导出锁定的 wheel，或把数据包写成加密压缩包。",
    ),
    epilog=tr(
        "Examples:  ferry export pylock recipes/agentscope -o out/pylock.toml  |  "
        "ferry export requirements recipes/agentscope -o requirements.txt",
        "示例：ferry export pylock recipes/agentscope -o out/pylock.toml  |  "
        "ferry export requirements recipes/agentscope -o requirements.txt",
    ),
)
def export_group() -> None:
    """Hold the forms."""


export_group.add_command(sevenzip_command)


@export_group.command(
    "pylock",
    short_help=tr("A PEP 751 lock, with its wheels.", "PEP 751 锁定文件及其 wheel。"),
    help=tr(
        "Write a PEP 751 lock of RECIPE's wheels and, beside it, the wheels: built ones too. It names files by "
        "relative paths and no host; with the directory, `uv pip sync` and `pip install -r` work offline.",
        "写出 RECIPE 的 PEP 751 锁定文件及其 wheel（包括自行构建的）。文件以相对路径表示，不含任何主机名；"
        "连同目录一起，可离线使用 `uv pip sync` 和 `pip install -r`。",
    ),
)
@RECIPE
@_platform
@click.option(
    "-o",
    "--output",
    default="pylock.toml",
    show_default=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help=tr("pylock.toml or pylock.NAME.toml.", "pylock.toml 或 pylock.NAME.toml。"),
)
@click.option(
    "--wheels",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    help=tr("Directory of the wheels. Default: wheels beside the lock.", "wheel 目录。默认：锁定文件旁的 wheels。"),
)
def pylock_command(recipe: Path, platform: str | None, output: Path, directory: Path | None) -> None:
    """Write a PEP 751 lock and its wheels."""
    if not is_valid_pylock_path(output):
        raise click.BadParameter(
            tr(
                'expected "pylock.toml" or "pylock.NAME.toml" (PEP 751)',
                "应为 pylock.toml 或 pylock.NAME.toml（PEP 751）",
            ),
            param_hint="--output",
        )
    directory = directory or output.parent / "wheels"
    with Shown() as progress:
        lock = read_inputs(recipe, Digests(store_directory(), progress))[1]
        platforms = _platforms(lock, platform)
        store = Store(store_directory())
        beside = recipe if recipe.is_dir() else recipe.parent
        wheels = fetch_wheels(lock, platforms, store, directory=beside, progress=progress)
    write_wheels(wheels, store, directory)
    write_pylock(lock, wheels, output, directory)
    size = sum(wheel.size for wheel in wheels)
    click.echo(
        tr(
            f"wrote {output}: {len(wheels)} wheels, {size:,} bytes, in {directory}",
            f"已写出 {output}：{len(wheels)} 个 wheel，{size:,} 字节，位于 {directory}",
        )
    )


@export_group.command(
    "requirements",
    short_help=tr("A requirements file with hashes.", "带哈希的 requirements 文件。"),
    help=tr(
        "Write a requirements file with the hashes of RECIPE's lock; nothing is fetched.",
        "按 RECIPE 的锁定文件写出带哈希的 requirements 文件；不下载任何内容。",
    ),
)
@RECIPE
@_platform
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help=tr("Default: standard output.", "默认：标准输出。"),
)
def requirements_command(recipe: Path, platform: str | None, output: Path | None) -> None:
    """Write a requirements file."""
    lock = read_lock(recipe)
    text = format_requirements(lock, _platforms(lock, platform))
    if output is None:
        click.echo(text, nl=False)
        return
    write_file(output, text.encode())
    click.echo(tr(f"wrote {output}", f"已写出 {output}"))


def _platforms(lock: Lock, chosen: str | None) -> tuple[Platform, ...]:
    if chosen is None:
        return lock.platforms
    platform = parse_platform(chosen)
    if platform not in lock.platforms:
        known = ", ".join(map(str, lock.platforms))
        raise RecipeError(f"expected one of {known}, got {platform}", place="--platform", hint="add it to the recipe")
    return (platform,)
