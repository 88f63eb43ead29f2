"""Every policy behind one function, as both pools call it each second."""

from __future__ import annotations

import math

import numpy as np

from bundler.autoscaler.compiled import compiled
from bundler.autoscaler.forecast import FEATURES, LEARNT, STATE, TICK_S, step, trust
from bundler.autoscaler.rule import HOLD_TICKS, floor, guard, reactive, settle
from bundler.autoscaler.simulator.opponents import FERRY, PLANNED, STATIC, mean, wish
from bundler.autoscaler.simulator.trace import Floats

# Nobody decides before a whole minute has been seen.
START_S = 60


@compiled
def decide(
    kind: int,
    target: float,
    now: int,
    load: Floats,
    concurrency: Floats,
    busy: Floats,
    planned: Floats,
    memory: Floats,
    ready: int,
    total: int,
    queue: float,
    cold_s: int,
) -> int:
    """Return how many replicas a policy wants; `queue` is in replica-seconds."""
    if kind == STATIC:
        return total
    if kind == PLANNED:
        return int(math.ceil(planned[now, 0] / target - 1e-9))
    if kind != FERRY:
        return wish(kind, target, now, load, concurrency, busy, memory, ready, total)
    if now % TICK_S != 0:
        return total
    tick = now // TICK_S - 1
    need = floor(planned[tick, 0], planned[tick, 1], target)
    doing, holding = mean(busy, now, 4 * TICK_S), mean(concurrency, now, 4 * TICK_S)
    need = max(need, reactive(doing, holding, target, planned[tick, 1]))
    need = max(need, guard(queue, planned[tick, 2], ready, total - ready, cold_s))
    memory[4 + tick % HOLD_TICKS] = need
    held = need
    for slot in range(HOLD_TICKS):
        held = max(held, int(memory[4 + slot]))
    return settle(need, held, total, planned[tick, 3] > 0)


@compiled
def foresee(loads: Floats, horizon: int) -> Floats:
    """Return the forecast of each tick: the load to expect, how unsure it is, and the level."""
    ticks = len(loads)
    levels, rises, errors, rows = np.zeros(ticks), np.zeros(ticks), np.zeros(ticks), np.zeros(ticks * FEATURES)
    weights, spread, state, row = np.zeros(FEATURES), np.zeros(FEATURES * FEATURES), np.zeros(STATE), np.zeros(FEATURES)
    for index in range(FEATURES):
        spread[index * FEATURES + index] = 1.0
    told = np.zeros((ticks, 5))
    for now in range(ticks):
        told[now, 0], told[now, 1] = step(loads, levels, rises, errors, rows, weights, spread, state, now, horizon, row)
        told[now, 2], told[now, 3], told[now, 4] = levels[now], state[8] >= LEARNT, trust(state)
    return told
