"""`ferry autoscaler`: keep pools as large as they need to be, and see beforehand and afterwards what that saves."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bundler.autoscaler.decide import decide
from bundler.autoscaler.log import read_log, replay
from bundler.cli.autoscaler_service import run_command, status_command
from bundler.cli.messages import tr
from bundler.errors import HostError
from bundler.store import write_file

if TYPE_CHECKING:
    from bundler.autoscaler.simulator.sweep import Run, Scene

_MAIN = ("hpa", "kpa", "ferry", "clairvoyant", "ferry_sleeping")
_OTHERS = ("apa", "keda", "dynamo", "dynamo_arima")
_JSON = click.option("--json", "as_json", is_flag=True, help=tr("Print it as JSON.", "以 JSON 输出。"))
_COLD = click.option(
    "--cold-start",
    "cold_s",
    type=click.IntRange(1, 3600),
    default=120,
    show_default=True,
    help=tr("Seconds until a replica that is started serves.", "副本从启动到可服务的秒数。"),
)
_TRACE = click.option(
    "--trace",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=tr("Requests or windows of rates, CSV or JSON lines, .gz too.", "请求或速率窗口，CSV 或 JSON 行，可为 .gz。"),
)
_SEED = click.option("--seed", type=int, default=1, show_default=True, help=tr("Of all chance.", "随机种子。"))
_REPLICAS = click.option(
    "--mean-replicas",
    type=click.FloatRange(min=0.5, max=2000),
    default=20.0,
    show_default=True,
    help=tr("Replicas that the load of the trace keeps busy on average.", "该负载平均占用的副本数。"),
)


@click.group(
    "autoscaler",
    short_help=tr("How many replicas a load needs.", "负载需要多少副本。"),
    help=tr(
        "Keep pools of replicas as large as their load needs, see why it was decided so, and compare policies on a "
        "trace.",
        "让副本数量跟随负载，查看每个决策的原因，并在负载记录上比较各种策略。",
    ),
    epilog=tr(
        "Example:  ferry autoscaler simulate --trace day.csv.gz --cold-start 120 --report day.html",
        "示例：ferry autoscaler simulate --trace day.csv.gz --cold-start 120 --report day.html",
    ),
)
def autoscaler_group() -> None:
    """Hold the commands of the autoscaler."""


def _attainments(_: click.Context, __: click.Parameter, text: str) -> tuple[tuple[str, float], ...]:
    found = []
    for word in text.split(","):
        try:
            value = float(word)
        except ValueError:
            value = 0.0
        if not 0.5 <= value < 1:
            raise click.BadParameter(
                tr(f'expected shares from 0.5 to below 1, got "{word}"', f"需要 0.5 至 1 之间的比例，得到“{word}”")
            )
        found.append((word.strip(), value))
    return tuple(found)


@autoscaler_group.command(
    "simulate",
    short_help=tr("Compare policies on a trace at equal service.", "在相同服务水平下比较各策略。"),
    help=tr(
        "Serve a trace request by request under each policy and print the GPU-hours in % of a static reservation.\n\n"
        "Each policy's own target is swept until the share of requests that are admitted within 2 s is reached. "
        "Windows of a trace are drawn as requests from --seed; a long trace is thinned to --requests.\n\n"
        "All start cold in --cold-start. Only ferry_sleeping may keep replicas asleep as well, which wake in --wake "
        "and count --sleeping-cost each: an advantage over the others, which holds where the engine can sleep and "
        "others use its card meanwhile.",
        "逐请求模拟各策略，输出相对静态预留的 GPU 时百分比。\n\n"
        "每个策略都扫描自身目标，直到 2 秒内被接纳的请求达到指定比例。"
        "窗口数据按 --seed 展开为请求；长记录按 --requests 抽稀。\n\n"
        "所有策略的冷启动均为 --cold-start。仅 ferry_sleeping 还可保留休眠副本："
        "--wake 秒唤醒，每个按 --sleeping-cost 计费；仅当推理引擎支持休眠且其加速卡期间供他人使用时，这一优势才成立。",
    ),
    epilog=tr(
        "Example:  ferry autoscaler simulate --trace day.csv.gz --cold-start 300 --attainment 0.99,0.995 --json",
        "示例：ferry autoscaler simulate --trace day.csv.gz --cold-start 300 --attainment 0.99,0.995 --json",
    ),
)
@_TRACE
@_COLD
@_REPLICAS
@click.option(
    "--attainment",
    "attainments",
    default="0.99,0.995",
    show_default=True,
    callback=_attainments,
    help=tr("Shares of requests within the SLO.", "满足 SLO 的请求比例。"),
)
@click.option("--others", is_flag=True, help=tr("AIBrix, KEDA and Dynamo too.", "包括 AIBrix、KEDA 和 Dynamo。"))
@click.option(
    "--failures",
    type=click.FloatRange(min=0, max=1000),
    default=0.0,
    help=tr("Failures of each replica a day.", "每副本每天故障次数。"),
)
@click.option(
    "--requests",
    type=click.IntRange(1000, 50_000_000),
    default=3_000_000,
    show_default=True,
    help=tr("Simulate at most about so many.", "最多模拟约多少请求。"),
)
@click.option(
    "--wake",
    "wake_s",
    type=click.IntRange(1, 600),
    default=10,
    show_default=True,
    help=tr("Seconds until a sleeping replica serves.", "休眠副本唤醒到可服务的秒数。"),
)
@click.option(
    "--sleeping-cost",
    type=click.FloatRange(min=0.01, max=1),
    default=0.1,
    show_default=True,
    help=tr("What a sleeping replica counts, as a share of one awake.", "休眠副本按运行副本的多大比例计费。"),
)
@_SEED
@click.option(
    "--report",
    "report_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help=tr("Write a page with plots.", "写出带图的网页。"),
)
@_JSON
def simulate_command(
    trace: Path,
    cold_s: int,
    mean_replicas: float,
    attainments: tuple[tuple[str, float], ...],
    others: bool,
    failures: float,
    requests: int,
    wake_s: int,
    sleeping_cost: float,
    seed: int,
    report_path: Path | None,
    as_json: bool,
) -> None:
    """Compare policies on a trace."""
    from bundler.autoscaler.simulator.arrivals import expand
    from bundler.autoscaler.simulator.sweep import compare, scene
    from bundler.autoscaler.simulator.trace import read_trace

    arrivals = expand(read_trace(trace), mean_replicas=mean_replicas, seed=seed, most=requests)
    made = scene(
        arrivals, cold_s=cold_s, failures_per_day=failures, seed=seed, wake_s=wake_s, sleeping_cost=sleeping_cost
    )
    names = (*_MAIN, *(_OTHERS if others else ()))
    results = compare(made, names, [each for _, each in attainments], min(4, os.cpu_count() or 1))
    if report_path is not None:
        from bundler.autoscaler.simulator.report import report

        write_file(report_path, report(trace.name, made, results).encode())
    document = _document(trace, made, mean_replicas, attainments, results)
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        _print(document, made)


def _document(
    trace: Path,
    made: Scene,
    mean_replicas: float,
    attainments: tuple[tuple[str, float], ...],
    results: Mapping[float, Mapping[str, Run | None]],
) -> dict[str, Any]:
    whole = made.first * made.arrivals.duration_s
    table: dict[str, dict[str, float]] = {}
    runs: dict[str, dict[str, Any]] = {}
    for text, value in attainments:
        rows = results[value]
        # A policy that attains it with no target is run as what always does: static.
        table[text] = {"static": 100.0} | {
            name: min(100.0, round(100 * one.replica_s / whole, 2)) if one else 100.0 for name, one in rows.items()
        }
        runs[text] = {
            name: {
                "target": round(one.target, 4),
                "attained": round(one.attainment, 5),
                "ttft_p99_s": round(one.ttft_p99_s, 2),
                "tpot_p99_of_full": round(one.tpot_p99_ratio, 3),
            }
            for name, one in rows.items()
            if one
        }
    return {
        "trace": trace.name,
        "cold_start_s": made.cold_s,
        "wake_s": made.wake_s,
        "sleeping_cost": made.sleeping_cost,
        "mean_replicas": mean_replicas,
        "static_replicas": made.first,
        "simulated_requests": len(made.arrivals.at_s),
        "requests_each": round(made.arrivals.group, 3),
        "seconds": made.arrivals.duration_s,
        "filled_gaps": made.arrivals.gaps,
        "attainment": table,
        "runs": runs,
    }


def _print(document: dict[str, Any], made: Scene) -> None:
    hours = document["seconds"] / 3600
    click.echo(
        tr(
            f"{document['trace']}: {document['simulated_requests']:,} simulated requests in {hours:.1f} h, cold start "
            f"{made.cold_s} s, static reservation {made.first} replicas",
            f"{document['trace']}：{hours:.1f} 小时内模拟 {document['simulated_requests']:,} 个请求，冷启动 "
            f"{made.cold_s} 秒，静态预留 {made.first} 个副本",
        )
    )
    if made.arrivals.gaps:
        click.echo(
            tr(
                f"{made.arrivals.gaps} windows without data were filled between their neighbours",
                f"{made.arrivals.gaps} 个无数据窗口已按相邻窗口补齐",
            )
        )
    for text, row in document["attainment"].items():
        told = "  ".join(f"{name} {value:.1f}" for name, value in row.items())
        click.echo(tr(f"  {text}: GPU-hours in % of static: {told}", f"  {text}：GPU 时（静态 = 100）：{told}"))
    click.echo(
        tr(
            f"ferry_sleeping alone keeps sleepers: awake in {made.wake_s} s, each counted as {made.sleeping_cost:g}",
            f"仅 ferry_sleeping 使用休眠副本：{made.wake_s} 秒唤醒，每个按 {made.sleeping_cost:g} 计",
        )
    )


@autoscaler_group.command(
    "step",
    short_help=tr("Run the step test on every card.", "对每种加速卡运行阶梯测试。"),
    help=tr(
        "Raise the load from 100 to 1,000 in ten equal steps of 30 minutes, and print for every card with a shipped "
        "profile how busy the replicas are that are held, starts and drains included.",
        "负载分十个相等台阶（每个 30 分钟）从 100 升到 1000，输出每种加速卡上所持副本的利用率（含启动与排空）。",
    ),
)
@_COLD
@_SEED
@_JSON
def step_command(cold_s: int, seed: int, as_json: bool) -> None:
    """Run the step test."""
    from bundler.autoscaler.simulator.steptest import step_test

    results = step_test(cold_s=cold_s, seed=seed)
    if as_json:
        click.echo(json.dumps({name: asdict(each) for name, each in results.items()}))
        return
    for name, each in results.items():
        told = tr("utilisation", "利用率"), tr("within the SLO", "满足 SLO"), tr("at most", "最多")
        click.echo(
            f"  {name:<18} {told[0]} {each.utilisation:.1%}  {told[1]} {each.attainment:.2%}  {told[2]} {each.most}"
        )


@autoscaler_group.command(
    "explain",
    short_help=tr("Say why each logged decision was taken.", "说明每个已记录决策的原因。"),
    help=tr(
        "Decide again from the inputs of each decision in LOG and print the reasons; a decision that now comes out "
        "otherwise is an error (exit code 6).",
        "用 LOG 中每个决策的输入重新决策并输出原因；结果不同即为错误（退出码 6）。",
    ),
)
@click.argument("log", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_JSON
def explain_command(log: Path, as_json: bool) -> None:
    """Explain a log of decisions."""
    for entry in read_log(log):
        decision = replay(entry, decide)
        if as_json:
            click.echo(json.dumps({"at_s": entry.seen.at_s, **asdict(decision)}, ensure_ascii=False))
        else:
            click.echo(f"{entry.seen.at_s:.0f}  {decision.reason}")


@autoscaler_group.command(
    "backtest",
    short_help=tr("Look how good the forecasts of a trace were.", "回看对一段记录的预测效果。"),
    help=tr(
        "Forecast a trace as the service would and print the mean error of the forecast beside that of a naive one, "
        "in % of the load.",
        "按服务的方式预测一段记录，输出预测与朴素预测的平均误差（占负载百分比）。",
    ),
)
@_TRACE
@_COLD
@_SEED
@_JSON
def backtest_command(trace: Path, cold_s: int, seed: int, as_json: bool) -> None:
    """Look back at forecasts."""
    from bundler.autoscaler.simulator.arrivals import expand
    from bundler.autoscaler.simulator.backtest import backtest
    from bundler.autoscaler.simulator.trace import read_trace

    arrivals = expand(read_trace(trace), mean_replicas=20.0, seed=seed, most=1_000_000)
    result = backtest(arrivals, cold_s=cold_s)
    if result is None:
        raise HostError("expected a trace of more than two hours", place=str(trace))
    if as_json:
        click.echo(json.dumps(asdict(result)))
        return
    click.echo(
        tr(
            f"mean error: forecast {result.forecast:.1%}, naive {result.naive:.1%} "
            f"(trusted {result.trusted:.0%} of the time)",
            f"平均误差：预测 {result.forecast:.1%}，朴素 {result.naive:.1%}（{result.trusted:.0%} 的时间采用预测）",
        )
    )


autoscaler_group.add_command(run_command)
autoscaler_group.add_command(status_command)
