"""Every policy behind one function, as both pools call it each second."""

from __future__ import annotations

import math

import numpy as np

from bundler.autoscaler.compiled import compiled
from bundler.autoscaler.forecast import FEATURES, LEARNT, STATE, TICK_S, highest, step, trust
from bundler.autoscaler.residual import BINS, SURPRISES, at_surprise, begin, quantiles, remember
from bundler.autoscaler.rule import AWAKE_TICKS, HOLD_TICKS, floor, guard, reactive, reserve, settle, spare_surprise
from bundler.autoscaler.simulator.opponents import FERRY, FERRY_SLEEPING, PLANNED, STATIC, mean, wish
from bundler.autoscaler.simulator.trace import Floats

# Nobody decides before a whole minute has been seen.
START_S = 60
# Where the memory of a policy that lets replicas sleep keeps how many there shall be, sleepers included.
RESERVE = 0
_NEEDS = 4
# Where in a row of `drowsy` the quantiles of both forecasts begin.
_SOON, _LATER = 4, 4 + SURPRISES


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
    if kind not in (FERRY, FERRY_SLEEPING):
        return wish(kind, target, now, load, concurrency, busy, memory, ready, total)
    if now % TICK_S != 0:
        return total
    tick = now // TICK_S - 1
    doing, holding = mean(busy, now, 4 * TICK_S), mean(concurrency, now, 4 * TICK_S)
    if kind == FERRY_SLEEPING:
        return awake(planned[tick], target, tick, doing, holding, memory, ready, total, queue, cold_s)
    need = floor(planned[tick, 0], planned[tick, 1], target)
    need = max(need, reactive(doing, holding, target, planned[tick, 1]))
    need = max(need, guard(queue, planned[tick, 2], ready, total - ready, cold_s))
    memory[_NEEDS + tick % HOLD_TICKS] = need
    held = need
    for slot in range(HOLD_TICKS):
        held = max(held, int(memory[_NEEDS + slot]))
    return settle(need, held, total, planned[tick, 3] > 0)


@compiled
def awake(
    told: Floats,
    surprise: float,
    tick: int,
    doing: float,
    holding: float,
    memory: Floats,
    ready: int,
    total: int,
    queue: float,
    wake_s: int,
) -> int:
    """Return how many replicas shall be awake, and keep how many there shall be in all; `told` is a row of `drowsy`."""
    headroom = at_surprise(told, _SOON, surprise)
    need = max(floor(told[0], headroom, 1.0), reactive(doing, holding, headroom, 1.0))
    need = max(need, guard(queue, told[1], ready, total - ready, wake_s))
    recent = need
    for back in range(AWAKE_TICKS - 1, 0, -1):
        memory[_NEEDS + back] = memory[_NEEDS + back - 1]
        recent = max(recent, int(memory[_NEEDS + back]))
    memory[_NEEDS] = need
    memory[RESERVE] = reserve(need, told[2], at_surprise(told, _LATER, surprise + told[3]))
    return need if need >= total else min(total, recent)


@compiled
def foresee(loads: Floats, horizon: int) -> Floats:
    """Return the forecast of each tick: the load to expect, how unsure it is, the level, learnt or not, trust."""
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


@compiled
def residuals(told: Floats, loads: Floats, horizon: int) -> Floats:
    """Return for each tick the quantiles of what came above the forecasts `told`, as far as that is known by then."""
    shares, kept = np.zeros(BINS), np.zeros((len(loads), SURPRISES))
    begin(shares)
    for now in range(len(loads)):
        past = now - horizon
        if past >= 0:
            came = math.log(highest(loads, past, now) / told[past, 0])
            remember(shares, came / told[past, 1])
        quantiles(shares, told[now, 1], kept[now], 0)
    return kept


def drowsy(loads: Floats, *, cold_s: int, wake_s: int, sleeping_cost: float) -> Floats:
    """Return what a policy that lets replicas sleep goes by in each tick.

    The load to expect until one wakes, the level, the load to expect until one starts, by how much surprise more the
    reserve covers, and the quantiles of both forecasts.
    """
    near, far = (-(-(each + TICK_S) // TICK_S) + 1 for each in (wake_s, cold_s))
    soon, later = foresee(loads, near), foresee(loads, far)
    cheaper = np.full(len(loads), spare_surprise(cold_s, wake_s, sleeping_cost))
    columns = (soon[:, 0], soon[:, 2], later[:, 0], cheaper)
    return np.column_stack((*columns, residuals(soon, loads, near), residuals(later, loads, far)))
