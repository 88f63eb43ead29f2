"""Arrivals: a trace as requests with their demand of a replica's time, made deterministically from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bundler.autoscaler.simulator.trace import Floats, RequestTrace, Trace, WindowTrace

# How much faster a card reads a token than it writes one, where no profile says.
PREFILL_PER_DECODE = 10.0
_GRID_S = 5.0
# The spread of the tokens of single requests around the mean of their window.
_TOKEN_SPREAD = 0.8
_FULL_TOKEN_S = 0.04
_FEWEST_SLOTS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrivals:
    """Requests in order of time: demands are seconds of one whole replica; `group` is how many each stands for.

    A trace of many small requests is thinned: every k-th arrival of a renewal process is one of a k-fold shape, so the
    load is no rougher than that of the trace.
    """

    at_s: Floats
    prefill_s: Floats
    decode_s: Floats
    tokens: Floats
    output_mean: float
    group: float
    gaps: int
    duration_s: int

    @property
    def work_s(self) -> Floats:
        """Return the whole demand of each request."""
        return self.prefill_s + self.decode_s


def expand(trace: Trace, *, mean_replicas: float, seed: int, most: int) -> Arrivals:
    """Return the arrivals of a trace, scaled so that `mean_replicas` are busy on average; at most about `most`."""
    if isinstance(trace, WindowTrace):
        at, inputs, outputs, group = _drawn(trace, np.random.default_rng(seed), most)
    else:
        at, inputs, outputs, group = _thinned(trace, most)
    duration = max(1, int(np.ceil(at[-1] + 1e-9)))
    prefill, decode = inputs / PREFILL_PER_DECODE, np.maximum(outputs, 1.0)
    scale = mean_replicas * duration / float((prefill + decode).sum())
    gaps = trace.gaps if isinstance(trace, WindowTrace) else 0
    return Arrivals(
        at_s=at,
        prefill_s=prefill * scale,
        decode_s=decode * scale,
        tokens=inputs + outputs,
        output_mean=float(outputs.mean()),
        group=group,
        gaps=gaps,
        duration_s=duration,
    )


def slots_of(arrivals: Arrivals) -> int:
    """Return how many requests run at once in a replica, so that a full one decodes a token in the usual time.

    No fewer than 4: where a few requests must keep many replicas busy, each is a slow one.
    """
    full_s = min(60.0, max(2.0, _FULL_TOKEN_S * arrivals.output_mean))
    return max(_FEWEST_SLOTS, round(full_s / float(arrivals.work_s.mean())))


def _thinned(trace: RequestTrace, most: int) -> tuple[Floats, Floats, Floats, float]:
    group = -(-len(trace.at_s) // most)
    if group <= 1:
        return trace.at_s, trace.input_tokens, trace.output_tokens, 1.0
    count = len(trace.at_s) // group
    sizes = [
        each[: count * group].reshape(count, group).mean(axis=1) for each in (trace.input_tokens, trace.output_tokens)
    ]
    return trace.at_s[: count * group : group], sizes[0], sizes[1], float(group)


def _drawn(trace: WindowTrace, random: np.random.Generator, most: int) -> tuple[Floats, Floats, Floats, float]:
    grid = np.arange(0.0, len(trace.rate) * trace.window_s + _GRID_S, _GRID_S)
    cumulative = np.concatenate(([0.0], np.cumsum(trace.at(grid[:-1] + _GRID_S / 2, trace.rate) * _GRID_S)))
    group = max(1.0, float(cumulative[-1]) / most)
    shape = group / max(float(np.average(trace.dispersion, weights=trace.rate)), 1e-3)
    steps = random.gamma(shape, 1 / shape, size=int(cumulative[-1] / group * 1.02) + 50)
    at = np.interp(np.cumsum(steps) * group, cumulative, grid, right=np.inf)
    at = at[at < grid[-1] - _GRID_S]
    spread = np.sqrt(np.log1p(_TOKEN_SPREAD**2 / group))
    sizes = [
        trace.at(at, mean) * random.lognormal(-spread * spread / 2, spread, size=len(at))
        for mean in (trace.input_tokens, trace.output_tokens)
    ]
    return at, sizes[0], sizes[1], group
