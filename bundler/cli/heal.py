"""`ferry heal`: volumes that are bad or lost, written anew."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bundler.checks import Reading
from bundler.cli.messages import tr
from bundler.cli.policy import make_policy, policy_options
from bundler.cli.progress import Shown
from bundler.errors import RecipeError
from bundler.heal import Outcome, collect, find_volumes, heal
from bundler.parity import listed
from bundler.volumeset import Ask


@click.command(
    "heal",
    short_help=tr("Write bad or lost volumes anew.", "重写损坏或丢失的分卷。"),
    help=tr(
        "Check the volumes of a bundle that VOLUME... (files or directories) name, and write those that are bad or "
        "lost anew, from the others and those of parity (`ferry split --parity`): byte by byte what they were. "
        "An install needs no `ferry heal` where all media are there at once.\n\n"
        "With --collect volumes are first copied into the directory of -o, medium after medium, damaged ones too.",
        "校验 VOLUME...（文件或目录）所指的分卷，并由其余分卷和校验卷（`ferry split --parity`）"
        "逐字节重写损坏或丢失的分卷。"
        "所有介质同时可读时，安装会自动修复，无需本命令。\n\n"
        "--collect 先逐个介质把分卷（包括损坏的）复制到 -o 目录。",
    ),
    epilog=tr(
        "Examples:  ferry heal /mnt/stick/agentscope.vol1of4.tar -o /srv/healed  |  "
        "ferry heal /mnt/dvd --collect -o /srv/volumes",
        "示例：ferry heal /mnt/stick/agentscope.vol1of4.tar -o /srv/healed  |  "
        "ferry heal /mnt/dvd --collect -o /srv/volumes",
    ),
)
@click.argument("volumes", type=click.Path(exists=True, path_type=Path), nargs=-1, required=True, metavar="VOLUME...")
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help=tr("Directory for what is written; default: that of the volumes.", "输出目录；默认与分卷相同。"),
)
@click.option("--collect", "collecting", is_flag=True, help=tr("Copy the volumes first.", "先复制分卷。"))
@policy_options
@click.option("--json", "as_json", is_flag=True, help=tr("Print the result as JSON.", "以 JSON 输出结果。"))
def heal_command(
    volumes: tuple[Path, ...], output: Path | None, collecting: bool, as_json: bool, **choices: Any
) -> None:
    """Heal volumes."""
    if collecting and output is None:
        raise RecipeError("expected a directory for the volumes that are copied, got none", place="-o")
    policy = make_policy(**choices)
    found = find_volumes(volumes, policy, now=datetime.now(UTC))
    out = output or found.first.parent
    if collecting:
        needed = sum(map(found.cut.size, (*found.data, *found.parity)))
        click.echo(
            tr(
                f"Copies and healed volumes take up to {needed:,} bytes in {out}.",
                f"最多占用 {out} 的 {needed:,} 字节。",
            ),
            err=True,
        )
        with Shown() as progress:
            ask = ask_for_volumes(progress) if sys.stdin.isatty() else None
            progress.start("copy", needed)
            found = collect(found, out, ask, progress.advance)
    found.look(out)
    with Shown() as progress:
        progress.start("verify", sum(map(found.cut.size, (*found.data, *found.parity))))
        outcome = heal(found, out, Reading(advance=progress.advance))
    _print(outcome, found.count, as_json=as_json)


def ask_for_volumes(progress: Shown) -> Ask:
    """Return what asks a person for the next medium; an empty answer looks in the same place again."""

    def ask(numbers: tuple[int, ...], count: int, place: Path) -> Path | None:
        progress.pause()
        missing = listed(numbers, count)
        question = tr(
            f"Insert the medium with volume {missing} of {count}; its directory, or q when there are no more",
            f"请插入第 {missing} 卷（共 {count} 卷）的介质；输入目录，没有更多时输入 q",
        )
        answer = click.prompt(question, default=str(place), err=True)
        return None if answer == "q" else Path(answer)

    return ask


def _print(outcome: Outcome, count: int, *, as_json: bool) -> None:
    if as_json:
        document = {"right": list(outcome.right), "healed": [str(path) for path in outcome.healed]}
        click.echo(json.dumps(document, ensure_ascii=False))
        return
    right = listed(outcome.right, count)
    click.echo(tr(f"right: volumes {right} of {count}", f"正确：第 {right} 卷，共 {count} 卷"))
    for path in outcome.healed:
        click.echo(tr(f"healed and verified: {path}", f"已修复并校验：{path}"))
