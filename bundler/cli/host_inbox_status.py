"""`ferry host inbox status`: what waits, and what became of the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import click

from bundler.cli.installing import LAYOUT
from bundler.cli.messages import tr
from bundler.installer.inbox import places, remembered
from bundler.installer.inbox.from_stick import INCOMPLETE, WAITS, WRITTEN, Seen, judge, read_sticks
from bundler.installer.inbox.remembered import Remembered, read_remembered
from bundler.installer.inbox.settings import read_chosen
from bundler.installer.inbox.sticks import Stick
from bundler.installer.inbox.units import is_enabled
from bundler.installer.preflight.required import check_owner

_WORDS = {
    WAITS: tr("waiting", "等待"),
    INCOMPLETE: tr("volumes are missing", "分卷不全"),
    WRITTEN: tr("being written", "正在写入"),
    "in_work": tr("in work", "处理中"),
    remembered.DONE: tr("done", "完成"),
    remembered.REFUSED: tr("refused", "被拒"),
    remembered.INTERRUPTED: tr("the medium failed", "介质读取失败"),
}


@click.command("status", help=tr("Show what waits, was done and was refused.", "显示等待、完成和被拒的数据包。"))
@click.option("--json", "as_json", is_flag=True, help=tr("Print JSON.", "输出 JSON。"))
def status_command(as_json: bool) -> None:
    """Look, and touch nothing."""
    check_owner(LAYOUT)
    chosen = read_chosen(LAYOUT)
    sticks = read_sticks(LAYOUT, chosen.sticks)
    seen = {stick.directory: tuple(judge(LAYOUT, stick, datetime.now(UTC))) for stick in sticks}
    found: dict[str, Any] = {
        "enabled": is_enabled(LAYOUT),
        "window": str(chosen.window) if chosen.window else None,
        "keep": chosen.keep,
        WAITS: [path.name for path in places.waiting(LAYOUT)],
        "in_work": [path.name for path in places.in_work(LAYOUT)],
        **{name: _names(name) for name in (places.DONE, places.REFUSED)},
        "sticks": [_stick(stick, seen[stick.directory]) for stick in sticks],
        "handled": [_handled(one) for one in read_remembered(LAYOUT).values()],
    }
    if as_json:
        click.echo(json.dumps(found, ensure_ascii=False))
    else:
        _show(found, sticks, seen)


def _names(name: str) -> list[str]:
    return sorted(path.name for path in (LAYOUT.inbox / name).glob("*.tar"))


def _stick(stick: Stick, seen: Sequence[Seen]) -> dict[str, object]:
    return {
        "directory": str(stick.directory),
        "there": stick.is_there,
        "bundles": [
            {
                "path": str(one.bundle.path),
                "files": [path.name for path in one.bundle.files],
                "manifest_sha256": one.bundle.manifest_sha256,
                "state": one.state,
                "missing_volumes": one.bundle.missing,
                "error": one.known.error or None if one.known else None,
            }
            for one in seen
        ],
        "others": [{"path": str(path), "reason": reason} for path, reason in stick.others],
    }


def _handled(one: Remembered) -> dict[str, object]:
    return {
        "manifest_sha256": one.manifest_sha256,
        "outcome": one.outcome,
        "at": one.at,
        "path": one.path,
        "product": one.product or None,
        "release": one.release or None,
        "error": one.error or None,
        "hint": one.hint or None,
        "exit_code": one.exit_code,
        "tries": one.tries,
    }


def _show(found: dict[str, Any], sticks: Sequence[Stick], seen: dict[Any, tuple[Seen, ...]]) -> None:
    state = tr("watched", "已启用") if found["enabled"] else tr("not watched", "未启用")
    click.echo(f"{LAYOUT.inbox}: {state}, {found['window'] or tr('any time', '不限时段')}")
    for name in (WAITS, "in_work", places.DONE, places.REFUSED):
        click.echo(f"  {_WORDS[name]}: {', '.join(found[name]) or '-'}")
    for stick in sticks:
        is_empty = not seen[stick.directory] and not stick.others
        click.echo(f"{stick.directory}: {tr('nothing is there', '没有数据包') if is_empty else tr('stick', '介质')}")
        for one in seen[stick.directory]:
            click.echo(f"  {_WORDS[one.state]}: {one.bundle.path.name}{_more(one)}")
        for path, reason in stick.others:
            click.echo(tr(f"  no bundle: {path.name}: {reason}", f"  不是数据包：{path.name}：{reason}"))


def _more(one: Seen) -> str:
    if one.state == INCOMPLETE:
        return f" ({len(one.bundle.files)}/{len(one.bundle.files) + one.bundle.missing})"
    if one.known is None:
        return ""
    if one.known.error:
        return f": {one.known.error} ({one.known.at})"
    release = tr(f", release {one.known.release}", f"，第 {one.known.release} 版次") if one.known.release else ""
    return f" ({one.known.product or '-'}{release}, {one.known.at})"
