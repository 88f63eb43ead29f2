"""The report: one HTML file with plots of load, replicas, waiting and cost; nothing is loaded from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bundler.autoscaler.simulator.sweep import Run, Scene
from bundler.autoscaler.simulator.trace import Floats

_WIDTH, _HEIGHT, _MARGIN = 960, 220, 46
_POINTS = 700
_COLOURS = ("#888", "#1f77b4", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#17becf", "#bcbd22")
_STYLE = (
    "body{font:15px sans-serif;max-width:1000px;margin:2em auto;color:#222}td,th{padding:.2em .9em;text-align:right}"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a plot."""

    name: str
    values: Floats


def report(trace: str, scene: Scene, results: Mapping[float, Mapping[str, Run | None]]) -> str:
    """Return the whole page."""
    parts = [
        "<!doctype html><meta charset=utf-8><title>ferry autoscaler simulate</title>",
        f"<style>{_STYLE}</style><h1>{html.escape(trace)}</h1>",
        f"<p>{len(scene.arrivals.at_s):,} simulated requests over {scene.arrivals.duration_s / 3600:.1f} h, each for "
        f"{scene.arrivals.group:.4g} of the trace; cold start {scene.cold_s} s; static reservation {scene.first} "
        f"replicas of {scene.slots} requests; SLO: admitted within 2 s. Costs are GPU-hours in % of static.</p>",
    ]
    for attainment, rows in results.items():
        runs = {name: each for name, each in rows.items() if each is not None}
        if not runs:
            continue
        parts.append(f"<h2>At {attainment:.1%} of requests within the SLO</h2>{_table(scene, rows)}")
        load = Line(name="load", values=next(iter(runs.values())).load)
        held = [Line(name=name, values=each.replicas) for name, each in runs.items()]
        parts.append(_plot("Load and replicas held", [load, *held]))
        waits = [Line(name=name, values=each.wait_p99_s) for name, each in runs.items()]
        parts.append(_plot("Longest wait but for 1 % of the requests of a minute (s)", waits))
        costs = [Line(name=name, values=np.cumsum(each.replicas) / 60) for name, each in runs.items()]
        parts.append(_plot("GPU-hours so far", costs))
    return "\n".join(parts) + "\n"


def _table(scene: Scene, rows: Mapping[str, Run | None]) -> str:
    whole = scene.first * scene.arrivals.duration_s
    lines = ["<tr><th>policy<th>GPU-hours %<th>attained<th>target<th>TTFT p99 (s)<th>TPOT p99 (of a full batch)"]
    for name, each in rows.items():
        told = (
            f"<td>{100 * each.replica_s / whole:.1f}<td>{each.attainment:.2%}<td>{each.target:.3f}"
            f"<td>{each.ttft_p99_s:.1f}<td>{each.tpot_p99_ratio:.2f}"
            if each is not None
            else "<td colspan=5>attains it with no target: static"
        )
        lines.append(f"<tr><td>{html.escape(name)}{told}")
    return f"<table>{''.join(lines)}</table>"


def _plot(title: str, lines: Sequence[Line]) -> str:
    top = max((float(each.values.max()) for each in lines if len(each.values)), default=1.0) or 1.0
    drawn, legend = [], []
    for number, each in enumerate(lines):
        colour = _COLOURS[number % len(_COLOURS)]
        drawn.append(f'<polyline fill="none" stroke="{colour}" points="{_points(each.values, top)}"/>')
        legend.append(f'<tspan fill="{colour}" dx="14">{html.escape(each.name)}</tspan>')
    base = _HEIGHT - 24
    return (
        f'<h3>{html.escape(title)}</h3><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" xmlns="http://www.w3.org/2000/svg">'
        f'<path d="M{_MARGIN} 20V{base}H{_WIDTH}" stroke="#444" fill="none"/>'
        f'<text x="2" y="28" font-size="12">{top:.4g}</text><text x="30" y="{base}" font-size="12">0</text>'
        f'<text x="{_MARGIN}" y="14" font-size="13">{"".join(legend)}</text>{"".join(drawn)}</svg>'
    )


def _points(values: Floats, top: float) -> str:
    """Return a line of at most `_POINTS` points; each is the highest of those that it stands for."""
    size = max(1, -(-len(values) // _POINTS))
    whole = len(values) // size * size
    peaks = values[:whole].reshape(-1, size).max(axis=1) if whole else values
    base, height = _HEIGHT - 24, _HEIGHT - 48
    across = (_WIDTH - _MARGIN) / max(1, len(peaks) - 1)
    return " ".join(f"{_MARGIN + i * across:.1f},{base - height * v / top:.1f}" for i, v in enumerate(peaks))
