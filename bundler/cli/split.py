"""`ferry split`: a bundle for media that are smaller than it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bundler.cli.clock import judged_now
from bundler.cli.messages import tr
from bundler.cli.policy import make_policy, policy_options, shown
from bundler.cli.progress import Shown
from bundler.errors import RecipeError
from bundler.iso import Iso
from bundler.volumes import SIZES, split

_UNITS = {"": 1, "k": 1000, "m": 1000**2, "g": 1000**3}


def volume_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of every command that writes volumes: their size and their directory."""
    size = click.option(
        "--size", default="4g", show_default=True, metavar="4g|dvd|bd|SIZE", help=tr("Of a volume.", "每卷大小。")
    )
    output = click.option(
        "-o",
        "--output",
        type=click.Path(file_okay=False, exists=True, path_type=Path),
        help=tr("Directory for the volumes; default: that of the bundle.", "分卷目录；默认与数据包相同。"),
    )
    return size(output(command))


@click.command(
    "split",
    short_help=tr("Cut a bundle into volumes.", "将数据包分卷。"),
    help=tr(
        "Verify BUNDLE and cut it into volumes of at most --size: 4g (what FAT32 takes), dvd, bd, or a number of bytes "
        "such as 700m. Each volume verifies alone; `ferry host install VOLUME` takes them from any directory, in any "
        "order, without joining them.\n\n"
        "With --parity N there are N volumes more, which heal any N that are bad or lost: the install does it by "
        "itself, `ferry heal` writes them anew. With --iso each volume is an image for a disc (needs xorriso).",
        "校验 BUNDLE，并切成不超过 --size 的分卷：4g（FAT32 上限）、dvd、bd 或字节数，如 700m。"
        "每一卷可单独校验；`ferry host install 分卷` 可从任意目录、按任意顺序安装，无需合并。\n\n"
        "--parity N 另写 N 个校验卷，可修复任意 N 个损坏或丢失的分卷：安装时自动修复，`ferry heal` 可重写分卷。"
        "--iso 把每卷写成光盘映像（需要 xorriso）。",
    ),
    epilog=tr(
        "Examples:  ferry split agentscope.tar  |  ferry split agentscope.tar --size dvd --iso --parity 1 "
        "-o /srv/discs",
        "示例：ferry split agentscope.tar  |  ferry split agentscope.tar --size dvd --iso --parity 1 -o /srv/discs",
    ),
)
@click.argument("bundle", type=click.Path(path_type=Path))
@volume_options
@click.option(
    "--parity",
    type=click.IntRange(0, 255),
    default=0,
    metavar="N",
    help=tr("Write N volumes more that heal any N.", "另写 N 个校验卷，可修复任意 N 卷。"),
)
@click.option("--iso", is_flag=True, help=tr("Write ISO 9660 images.", "写成 ISO 9660 映像。"))
@policy_options
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON.", "以 JSON 输出结果。"))
def split_command(
    bundle: Path, size: str, output: Path | None, parity: int, iso: bool, as_json: bool, **choices: Any
) -> None:
    """Cut a bundle."""
    volume_bytes = read_size(size)
    form = Iso() if iso else None
    policy = make_policy(**choices)
    with Shown() as progress:
        paths = split(
            bundle,
            output or bundle.parent,
            volume_bytes=volume_bytes,
            policy=policy,
            now=judged_now(),
            reading=shown(progress),
            parity=parity,
            form=form,
        )
    if as_json:
        click.echo(json.dumps({"volumes": [{"path": str(one), "size": one.stat().st_size} for one in paths]}))
        return
    for path in paths:
        click.echo(f"{path}  {path.stat().st_size:,}")


def read_size(text: str) -> int:
    """Return the bytes that a size says.

    Raises:
        RecipeError: it says none.
    """
    if text in SIZES:
        return SIZES[text]
    match = re.fullmatch("([0-9]{1,15})([kmg]?)b?", text.lower())
    if match is None:
        raise RecipeError(f'expected 4g, dvd, bd or a number of bytes such as 700m, got "{text}"', place="--size")
    return int(match[1]) * _UNITS[match[2]]
