"""`ferry host inbox`: bundles in a directory are installed in the maintenance window."""

from __future__ import annotations

import json
import sys

import click

from bundler.cli.host_inbox_status import status_command
from bundler.cli.installing import LAYOUT, Bars, make_session, stop_gently
from bundler.cli.messages import tr
from bundler.installer.inbox.handled import Handled
from bundler.installer.inbox.settings import KEEP, MOST_KEPT, Chosen, parse_stick
from bundler.installer.inbox.units import disable, enable
from bundler.installer.inbox.watch import KIND, Look, look
from bundler.installer.inbox.window import parse_window
from bundler.installer.options import Options
from bundler.installer.preflight.required import check_owner
from bundler.installer.systemd import HostSystemd

_JSON = click.option("--json", "as_json", is_flag=True, help=tr("Print JSON.", "输出 JSON。"))


@click.group(
    "inbox",
    short_help=tr("Install what is put into a directory.", "自动安装放入目录的数据包。"),
    help=tr(
        "Bundles (*.tar) in /var/lib/ferry/inbox are verified and installed as upgrades in the maintenance window. One "
        "that does not become healthy is taken back. Each goes on to done/, or to refused/ with a file that gives the "
        "reason. Copy under another name, then rename: then none is looked at half. Bundles and volumes on sticks are "
        "installed from where they are; nothing is written to a stick.",
        "在维护窗口内校验 /var/lib/ferry/inbox 中的数据包（*.tar）并升级；未就绪时自动恢复原版本。"
        "处理后移入 done/，或连同原因文件移入 refused/。请先用其他文件名复制，再改名。"
        "介质上的数据包和分卷直接从介质安装，不写入介质。",
    ),
    epilog=tr(
        "Examples:  ferry host inbox enable --window 01:00-05:00 --stick /media/ferry  |  ferry host inbox status  |  "
        "ferry host inbox run",
        "示例：ferry host inbox enable --window 01:00-05:00 --stick /media/ferry  |  ferry host inbox status  |  "
        "ferry host inbox run",
    ),
)
def inbox_group() -> None:
    """Hold the commands of the inbox."""


@inbox_group.command("enable", help=tr("Let systemd watch the inbox.", "启用 systemd 监视。"))
@click.option(
    "--window",
    default="",
    metavar="HH:MM-HH:MM",
    help=tr("When to install, by this host's clock; default: any time.", "允许安装的时段（本机时间）；默认不限。"),
)
@click.option(
    "--stick",
    "sticks",
    multiple=True,
    metavar="DIR",
    help=tr(
        "Also look into this directory, where sticks are mounted; may be repeated.", "同时检查此介质挂载目录；可重复。"
    ),
)
@click.option(
    "--keep",
    type=click.IntRange(0, MOST_KEPT),
    default=KEEP,
    show_default=True,
    help=tr("How many bundles stay in done/, the newest.", "done/ 中保留的最新数据包个数。"),
)
def enable_command(window: str, sticks: tuple[str, ...], keep: int) -> None:
    """Watch."""
    check_owner(LAYOUT)
    named = tuple(dict.fromkeys(parse_stick(text, place="--stick") for text in sticks))
    chosen = Chosen(window=parse_window(window, place="--window"), sticks=named, keep=keep)
    enable(LAYOUT, HostSystemd(), chosen)
    when = str(chosen.window) if chosen.window else tr("any time", "不限时段")
    click.echo(tr(f"The inbox is watched: {LAYOUT.inbox} ({when})", f"已启用收件目录：{LAYOUT.inbox}（{when}）"))
    for stick in chosen.sticks:
        click.echo(tr(f"Sticks are watched: {stick}", f"已启用介质目录：{stick}"))


@inbox_group.command("disable", help=tr("Let nobody watch; what waits stays.", "停止监视；等待的数据包保留。"))
def disable_command() -> None:
    """Do not watch."""
    check_owner(LAYOUT)
    if disable(LAYOUT, HostSystemd()):
        click.echo(tr("The inbox is not watched any more.", "已停用收件目录。"))
    else:
        click.echo(tr("The inbox was not watched.", "收件目录未启用。"))


inbox_group.add_command(status_command)


@inbox_group.command("run", help=tr("Look into the inbox once, now.", "立即检查一次收件目录。"))
@_JSON
@click.option(
    "--again",
    is_flag=True,
    help=tr("Also try once more what was refused on sticks.", "重新尝试介质上曾被拒的数据包。"),
)
@click.pass_context
def run_command(context: click.Context, as_json: bool, again: bool) -> None:
    """Exit with the code of the last refusal, 0 where there was none."""
    stop_gently()
    options = Options(
        trust=(),
        algorithm="sm3",
        changes=(),
        dry_run=False,
        accept_expired=False,
        allow_older=False,
        python=sys.executable,
    )
    bars = Bars()
    found = look(make_session(KIND, options, bars, lambda plan, stopped_at: True), again=again)
    bars.close()
    if as_json:
        click.echo(json.dumps(_document(found), ensure_ascii=False))
    else:
        _show(found)
    errors = [one.error for one in found.handled if one.error is not None]
    context.exit(errors[-1].exit_code if errors else 0)


def _document(found: Look) -> dict[str, object]:
    return {
        "window": found.window or None,
        "waiting": list(found.waits),
        "removed": list(found.removed),
        "handled": [
            {
                "bundle": one.name,
                "place": str(one.place),
                "interrupted": one.interrupted,
                "error": str(one.error) if one.error else None,
                "hint": one.error.hint if one.error else None,
            }
            for one in found.handled
        ],
    }


def _show(found: Look) -> None:
    for one in found.handled:
        click.echo(_sentence(one))
    for name in found.removed:
        click.echo(tr(f"removed from done/: {name}", f"已从 done/ 删除：{name}"))
    if found.waits:
        names = ", ".join(found.waits)
        when = found.window or tr("the next look", "下次检查")
        click.echo(tr(f"Waiting for {when}: {names}", f"等待 {when}：{names}"))
    if not found.handled and not found.waits:
        click.echo(tr("The inbox is empty.", "收件目录为空。"))


def _sentence(one: Handled) -> str:
    if one.error is None:
        return tr(f"done: {one.name}", f"完成：{one.name}")
    if one.interrupted:
        return tr(
            f"the medium failed, it is tried again: {one.name}: {one.error}",
            f"介质读取失败，将再次尝试：{one.name}：{one.error}",
        )
    return tr(f"refused: {one.name}: {one.error}", f"被拒：{one.name}：{one.error}")
