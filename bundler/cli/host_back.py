"""`ferry host resume` and `rollback`: forward from where the power went, or back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from bundler.cli.installing import (
    LAYOUT,
    Bars,
    agreement,
    ask_for_volumes,
    make_session,
    show_healed,
    stop_gently,
    warn_of_this_clock,
)
from bundler.cli.messages import tr
from bundler.cli.outcome import show_outcome
from bundler.cli.password import password_from, password_option
from bundler.errors import HostError
from bundler.installer.install import Outcome
from bundler.installer.options import Options
from bundler.installer.pending import Pending, read_pending
from bundler.installer.resume import resume
from bundler.installer.rollback import rollback
from bundler.installer.takeback import TakenBack
from bundler.medium import Medium

_JSON = click.option("--json", "as_json", is_flag=True, help=tr("Print JSON.", "输出 JSON。"))
_YES = click.option("--yes", is_flag=True, help=tr("Do not ask.", "不询问。"))


def _options(*, dry_run: bool) -> Options:
    # What is asked of a bundle was written down, or stands in the record of its release.
    return Options(
        trust=(),
        algorithm="sm3",
        changes=(),
        dry_run=dry_run,
        accept_expired=False,
        allow_older=False,
        python=sys.executable,
    )


@click.command(
    "resume",
    short_help=tr("Finish what a power cut interrupted.", "继续因断电等中断的操作。"),
    help=tr(
        "Finish the install, upgrade or undo that was cut off. BUNDLE is needed only where parts of it have not "
        "reached this host yet and it is not where it was. Without anything to finish, nothing is done.",
        "继续被中断的安装、升级或撤销。仅当部分内容尚未写入本机且数据包不在原处时才需要 BUNDLE。"
        "没有中断的操作时不做任何事。",
    ),
    epilog=tr(
        "Examples:  ferry host resume  |  ferry host resume /mnt/stick/hello.tar --yes",
        "示例：ferry host resume  |  ferry host resume /mnt/stick/hello.tar --yes",
    ),
)
@click.argument("bundle", type=click.Path(dir_okay=False, path_type=Path), required=False)
@password_option
@_YES
@_JSON
def resume_command(bundle: Path | None, password_file: Path | None, yes: bool, as_json: bool) -> None:
    """Go on."""
    stop_gently()
    bars = Bars()
    ask = ask_for_volumes(bars) if sys.stdin.isatty() else None
    medium = Medium(bundle, ask, password_from(password_file)) if bundle else None
    session = make_session(
        "install", _options(dry_run=False), bars, agreement(bars, dry_run=False, yes=yes, as_json=as_json)
    )
    was = read_pending(LAYOUT)
    try:
        found = resume(medium, session)
    finally:
        bars.close()
    if found is None and was is not None:
        raise click.Abort
    _show(found, bars.began, dry_run=False, as_json=as_json)
    if medium is not None:
        show_healed(medium)


@click.command(
    "rollback",
    short_help=tr("Undo what was cut off, or go back a release.", "撤销中断的操作，或回到上一版本。"),
    help=tr(
        "Undo the install or upgrade that was cut off: this host is then as it was before. Where nothing was cut off, "
        "the release before runs again, from what this host still has of it. The data of services stays, and what "
        "this host remembers of the releases it has had.",
        "撤销被中断的安装或升级，使本机恢复原状。没有中断的操作时，用本机保存的内容恢复运行上一版本。服务数据和本机版本标记保留。",
    ),
    epilog=tr(
        "Examples:  ferry host rollback --dry-run  |  ferry host rollback --to 3 --yes",
        "示例：ferry host rollback --dry-run  |  ferry host rollback --to 3 --yes",
    ),
)
@click.option(
    "--to",
    type=click.IntRange(min=1),
    metavar="NUMBER",
    help=tr("The release to go back to; default: the one before.", "要回到的版次；默认上一版次。"),
)
@click.option("--dry-run", is_flag=True, help=tr("Plan; change nothing.", "只规划，不做改动。"))
@_YES
@_JSON
def rollback_command(to: int | None, dry_run: bool, yes: bool, as_json: bool) -> None:
    """Go back."""
    stop_gently()
    bars = Bars()
    agree = agreement(bars, dry_run=dry_run, yes=yes, as_json=as_json)
    session = make_session("rollback", _options(dry_run=dry_run), bars, agree)
    pending = read_pending(LAYOUT)
    if pending is not None and not (dry_run or yes or as_json) and sys.stdin.isatty():
        with bars.asking():
            _confirm(pending)
    try:
        found = rollback(session, to=to)
    finally:
        bars.close()
    if found is None:
        raise click.Abort
    _show(found, bars.began, dry_run=dry_run, as_json=as_json)


def _confirm(pending: Pending) -> None:
    steps = ", ".join(dict.fromkeys(pending.steps)) or "-"
    product = pending.asked.product
    click.confirm(tr(f"Undo {product} (steps: {steps})?", f"撤销 {product}（步骤：{steps}）？"), abort=True)


def _show(found: Outcome | TakenBack | None, began: float, *, dry_run: bool, as_json: bool) -> None:
    if not as_json:
        warn_of_this_clock()
    if isinstance(found, Outcome):
        show_outcome(found, began, dry_run=dry_run, as_json=as_json)
    elif isinstance(found, TakenBack):
        _show_taken_back(found, dry_run=dry_run, as_json=as_json)
    elif as_json:
        click.echo(json.dumps({"resumed": False}))
    else:
        click.echo(tr("Nothing was cut off.", "没有中断的操作。"))


def _show_taken_back(found: TakenBack, *, dry_run: bool, as_json: bool) -> None:
    steps = tuple(dict.fromkeys(found.steps))
    if as_json:
        click.echo(json.dumps(_document(found, steps, dry_run=dry_run), ensure_ascii=False))
    else:
        click.echo(_sentence(found, steps, dry_run=dry_run))
    if found.problem:
        raise HostError(
            f"the release that runs again is not healthy: {found.problem}", hint="look at it: ferry host status"
        )


def _document(found: TakenBack, steps: tuple[str, ...], *, dry_run: bool) -> dict[str, object]:
    release = found.release
    return {
        "undone": found.product or None,
        "dry_run": dry_run,
        "steps": list(steps),
        "release": release.number if release else None,
        "version": release.version if release else None,
        "problem": found.problem or None,
    }


def _sentence(found: TakenBack, steps: tuple[str, ...], *, dry_run: bool) -> str:
    if not found.product:
        return tr("Removed what an install left that came to nothing.", "已清除未成功的安装留下的内容。")
    listed = ", ".join(steps) or "-"
    undone = (
        tr(f"Would undo {found.product}: {listed}.", f"将撤销 {found.product}：{listed}。")
        if dry_run
        else tr(f"Undone: {found.product} ({listed}).", f"已撤销：{found.product}（{listed}）。")
    )
    if found.release is None:
        return undone + tr(" Nothing is installed on this host.", " 本机未安装任何版本。")
    name, number = f"{found.release.name} {found.release.version}", found.release.number
    return undone + tr(f" {name} (release {number}) runs.", f" {name}（版次 {number}）运行中。")
