"""Synthetic traces of families that no recorded trace stands for: days, steps, bursts, ramps, noise."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bundler.autoscaler.simulator.trace import Floats, WindowTrace

_DAY_S = 86_400.0
_RATE = 20.0


def synthetic(family: str, *, seed: int, days: float = 7.0, window_s: float = 300.0) -> WindowTrace:
    """Return a trace of a family; the same seed gives the same trace."""
    random = np.random.default_rng(seed)
    at = np.asarray((np.arange(int(days * _DAY_S / window_s)) + 0.5) * window_s, dtype=np.float64)
    rate = _RATE * np.maximum(FAMILIES[family](at, random), 0.02)
    full = np.ones(len(rate))
    return WindowTrace(
        window_s=window_s,
        rate=rate,
        input_tokens=full * 800.0,
        output_tokens=full * 200.0,
        dispersion=full * random.uniform(1.0, 4.0),
        gaps=0,
    )


def _daily(at: Floats, random: np.random.Generator) -> Floats:
    phase, depth = random.uniform(0, 2 * np.pi), random.uniform(0.5, 0.9)
    day = 1 + depth * np.sin(2 * np.pi * at / _DAY_S + phase) + 0.25 * depth * np.sin(4 * np.pi * at / _DAY_S + phase)
    week = np.where((at // _DAY_S) % 7 >= 5, random.uniform(0.6, 1.0), 1.0)
    return day * week * np.exp(_wander(at, random, 0.05))


def _office(at: Floats, random: np.random.Generator) -> Floats:
    hour = at % _DAY_S / 3600
    open_h, close_h = random.uniform(7.5, 9.5), random.uniform(17, 19)
    rise = 1 / (1 + np.exp(-(hour - open_h) * 6)) - 1 / (1 + np.exp(-(hour - close_h) * 3))
    lunch = 1 - 0.4 * np.exp(-((hour - 12.5) ** 2) / 0.3)
    return (0.1 + rise * lunch) * np.exp(_wander(at, random, 0.07))


def _steps(at: Floats, random: np.random.Generator) -> Floats:
    jumps = np.cumsum(random.random(len(at)) < (at[1] - at[0]) / 5400)
    levels = np.exp(random.normal(0, 0.5, size=int(jumps[-1]) + 1))
    return np.asarray(levels[jumps], dtype=np.float64)


def _bursts(at: Floats, random: np.random.Generator) -> Floats:
    rate = np.ones(len(at))
    for start in random.uniform(0, at[-1], size=int(at[-1] / 7200)):
        rate += random.uniform(0.5, 4.0) * ((at >= start) & (at < start + random.uniform(300, 1200)))
    return rate


def _ramps(at: Floats, random: np.random.Generator) -> Floats:
    knots = np.cumsum(random.uniform(1800, 21_600, size=int(at[-1] / 1800)))
    return np.interp(at, knots, np.exp(random.normal(0, 0.6, size=len(knots))))


def _noise(at: Floats, random: np.random.Generator) -> Floats:
    return np.exp(random.normal(0, 0.15, size=len(at)) + _wander(at, random, 0.1))


def _wander(at: Floats, random: np.random.Generator, spread: float) -> Floats:
    keep = np.exp(-(at[1] - at[0]) / 3600)
    steps = random.normal(0, spread * np.sqrt(1 - keep * keep), size=len(at))
    values = np.empty(len(at))
    value = 0.0
    for index, step in enumerate(steps):
        value = keep * value + step
        values[index] = value
    return values


FAMILIES: Mapping[str, Callable[[Floats, np.random.Generator], Floats]] = {
    "daily": _daily,
    "office": _office,
    "steps": _steps,
    "bursts": _bursts,
    "ramps": _ramps,
    "noise": _noise,
}
