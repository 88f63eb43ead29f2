"""`ferry autoscaler run` and `status`: the service on the isolated host."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from bundler.autoscaler.forecast import TICK_S
from bundler.autoscaler.service.config import read_config
from bundler.autoscaler.service.keeper import Keeper
from bundler.autoscaler.service.loop import read_status, serve
from bundler.autoscaler.service.page import Page, shown
from bundler.cli.messages import tr
from keystore.server.notify import notify

_STATE = click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("/var/lib/ferry/autoscaler"),
    show_default=True,
    help=tr("Where it keeps what it learns.", "存放学习结果的目录。"),
)
# After so many ticks without one the service does not run, whatever its last status says.
_SILENT_TICKS = 4


def _place(context: click.Context, option: click.Parameter, text: str | None) -> tuple[str, int] | None:
    if text is None:
        return None
    address, _, port = text.rpartition(":")
    if not address or not port.isdigit() or int(port) > 65_535:
        raise click.BadParameter(
            tr(f'expected ADDRESS:PORT such as 127.0.0.1:9095, got "{text}"', f"需要 127.0.0.1:9095 形式，得到“{text}”")
        )
    return address.strip("[]"), int(port)


@click.command(
    "run",
    short_help=tr("Keep pools of replicas as large as their load needs.", "让副本数量跟随负载。"),
    help=tr(
        "Observe the replicas of each pool in the TOML file --config, learn their load and capacity, and start, drain "
        "and stop units of systemd behind haproxy. It may be killed at any moment: what there is is always asked, and "
        "each decision stands in STATE/POOL/decisions.log with its inputs (`ferry autoscaler explain`).",
        "观测 TOML 文件 --config 中各个池的副本，学习负载与能力，并启动、排空、停止 haproxy 后面的 systemd 单元。"
        "可随时中断：现状总是重新查询；每个决策连同输入写入 STATE/池名/decisions.log，"
        "可用 `ferry autoscaler explain` 查看。",
    ),
    epilog=tr(
        "Example:  ferry autoscaler run --config /etc/ferry/autoscaler.toml",
        "示例：ferry autoscaler run --config /etc/ferry/autoscaler.toml",
    ),
)
@click.option(
    "--config",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help=tr("The pools, as TOML.", "各个池的配置（TOML）。"),
)
@_STATE
@click.option(
    "--tick",
    "tick_s",
    type=click.FloatRange(1, 60),
    default=float(TICK_S),
    show_default=True,
    help=tr("Seconds between two decisions.", "两次决策之间的秒数。"),
)
@click.option(
    "--listen",
    metavar="ADDRESS:PORT",
    callback=_place,
    help=tr(
        "Serve GET /metrics and /v1/pools/NAME there, for Prometheus and for the scaler of a cluster.",
        "在此提供 GET /metrics 与 /v1/pools/池名，供 Prometheus 和集群自身的伸缩器读取。",
    ),
)
def run_command(config: Path, state: Path, tick_s: float, listen: tuple[str, int] | None) -> None:
    """Run until a signal comes."""
    pools = read_config(config)
    os.umask(0o027)
    keepers = [Keeper(each, state / each.name) for each in pools]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    page = Page()
    with shown(page, *listen) if listen else nullcontext():
        notify("READY=1")
        serve(
            keepers,
            state,
            stop=stop,
            tell=lambda text: click.echo(text, err=True),
            alive=lambda: notify("WATCHDOG=1"),
            tick_s=tick_s,
            show=page.show,
        )


@click.command(
    "status",
    short_help=tr("Say how each pool stands.", "显示各个池的现状。"),
    help=tr(
        "Print for each pool how many replicas there are, why, and what is expected. Ends with 8 when the service does "
        "not run, or cannot act.",
        "输出每个池的副本数、原因与预期。服务未运行或无法执行时退出码为 8。",
    ),
    epilog=tr("Example:  ferry autoscaler status --json", "示例：ferry autoscaler status --json"),
)
@_STATE
@click.option("--json", "as_json", is_flag=True, help=tr("Print it as JSON.", "以 JSON 输出。"))
def status_command(state: Path, as_json: bool) -> None:
    """Say how the pools stand."""
    pools = read_status(state)
    late = [each for each in pools if time.time() - each.get("at", 0.0) > _SILENT_TICKS * 60]
    if as_json:
        click.echo(json.dumps({"pools": list(pools), "is_running": not late}))
    else:
        for each in pools:
            click.echo(_line(each))
        if late:
            click.echo(tr("the service does not run", "服务未运行"), err=True)
    if late or any("error" in each for each in pools):
        raise click.exceptions.Exit(8)


def _line(pool: Mapping[str, Any]) -> str:
    if "error" in pool:
        return f"{pool['pool']}: {pool['error']}"
    states: dict[str, int] = {}
    for state in pool["replicas"].values():
        states[state] = states.get(state, 0) + 1
    there = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or tr("no replica", "无副本")
    load = pool["seen"]["load"]
    shown = tr("unknown", "未知") if load is None else f"{load:.1f}"
    return tr(
        f"{pool['pool']}: {there}; load {shown}, cold start {pool['cold_start_s']:.0f} s "
        f"({pool['cold_starts']} measured), {pool['accelerator']} at {pool['measured']:.0%} of its profile\n"
        f"  {pool['reason']}",
        f"{pool['pool']}：{there}；负载 {shown}，冷启动 {pool['cold_start_s']:.0f} 秒"
        f"（已测 {pool['cold_starts']} 次），{pool['accelerator']} 为配置能力的 {pool['measured']:.0%}\n"
        f"  {pool['reason']}",
    )
