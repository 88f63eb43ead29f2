"""A look back: how far the forecasts of a trace were from what came, beside those of a naive expert."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bundler.autoscaler.forecast import LEARNT, TICK_S
from bundler.autoscaler.simulator.arrivals import Arrivals
from bundler.autoscaler.simulator.policy import foresee


@dataclass(frozen=True, kw_only=True, slots=True)
class Backtest:
    """Mean absolute errors as shares of the load, and the share of the time that the regression was trusted."""

    forecast: float
    naive: float
    trusted: float


def backtest(arrivals: Arrivals, *, cold_s: int) -> Backtest | None:
    """Compare each forecast with the highest load that came; None where the trace is too short to learn from."""
    ticks = arrivals.duration_s // TICK_S
    if ticks < 2 * LEARNT:
        return None
    tick = np.minimum(arrivals.at_s.astype(np.int64) // TICK_S, ticks - 1)
    loads = np.bincount(tick, arrivals.work_s, minlength=ticks) / TICK_S
    horizon = -(-(cold_s + TICK_S) // TICK_S) + 1
    told = foresee(loads, horizon)
    pairs = np.concatenate((loads[:1], (loads[1:] + loads[:-1]) / 2))
    came = pairs.copy()
    for ahead in range(1, horizon + 1):
        came[:-ahead] = np.maximum(came[:-ahead] if ahead > 1 else 0.0, pairs[ahead:])
    rows = slice(LEARNT, ticks - horizon)
    level = told[rows, 2]
    usual = np.cumsum(np.log(np.maximum(came[rows], 0.05) / level)) / np.arange(1, len(level) + 1)
    late = np.concatenate((np.zeros(horizon), usual))[: len(usual)]
    return Backtest(
        forecast=float(np.abs(told[rows, 0] - came[rows]).sum() / came[rows].sum()),
        naive=float(np.abs(level * np.exp(late) - came[rows]).sum() / came[rows].sum()),
        trusted=float((told[rows, 4] > 0).mean()),
    )
