"""The opponents by their published rules, as plain functions of numbers that the pool calls each second.

What a policy sees are sums up to now over seconds (`concurrency[t]` sums the seconds before t), so that any window is
one difference. Concurrency counts requests that run or wait, in replicas full of requests. Each keeps what it must
remember in `memory`, and returns how many replicas there shall be, those that start included.
"""

from __future__ import annotations

import math

from bundler.autoscaler.compiled import compiled
from bundler.autoscaler.simulator.trace import Floats

HPA_UTILISATION, HPA_CONCURRENCY, KPA, APA, KEDA, DYNAMO, DYNAMO_ARIMA, PLANNED, STATIC, FERRY, FERRY_SLEEPING = range(
    11
)
MEMORY = 256

_HPA_SYNC_S, _HPA_TOLERANCE, _HPA_WINDOW_S = 15, 0.1, 300
_KPA_TICK_S, _KPA_STABLE_S, _KPA_PANIC_S, _KPA_PANIC_AT, _KPA_UP, _KPA_DOWN = 2, 60, 6, 2.0, 1000.0, 2.0
_APA_TICK_S, _APA_WINDOW_S, _APA_UP, _APA_DOWN, _APA_RATE = 15, 60, 0.1, 0.2, 2.0
_KEDA_POLL_S = 30
_DYNAMO_INTERVAL_S, _DYNAMO_HISTORY = 180, 60


@compiled
def mean(sums: Floats, now: int, window: int) -> float:
    """Return the mean of a second over the last `window` seconds."""
    since = max(0, now - window)
    return float((sums[now] - sums[since]) / max(1, now - since))


@compiled
def hpa_behaviour(wanted: int, total: int, memory: Floats, now: int) -> int:
    """Apply the default behaviour: doubling or 4 in 15 s upwards, the highest wish of 300 s downwards.

    Source: kubernetes.io, Horizontal Pod Autoscaling, Configurable scaling behavior, Default Behavior.
    """
    slots = _HPA_WINDOW_S // _HPA_SYNC_S
    memory[4 + (now // _HPA_SYNC_S) % slots] = wanted
    if wanted > total:
        return int(min(wanted, max(2 * total, total + 4)))
    highest = wanted
    for slot in range(slots):
        highest = max(highest, int(memory[4 + slot]))
    return min(total, highest)


@compiled
def hpa_utilisation(target: float, busy: float, ready: int, total: int) -> int:
    """Return the wish of a Resource metric: pods that are not ready count as idle when that would scale up.

    Source: kubernetes.io, Horizontal Pod Autoscaling, Algorithm details.
    """
    if ready == 0:
        return total
    ratio = busy / (target * ready)
    if abs(ratio - 1) <= _HPA_TOLERANCE:
        return total
    if ratio < 1 or total == ready:
        return max(1, int(math.ceil(ratio * ready - 1e-9)))
    damped = busy / (target * total)
    if damped <= 1 + _HPA_TOLERANCE:
        return total
    return int(math.ceil(damped * total - 1e-9))


@compiled
def hpa_average(target: float, value: float, total: int) -> int:
    """Return the wish of an External metric with an AverageValue."""
    if abs(value / (target * max(total, 1)) - 1) <= _HPA_TOLERANCE:
        return total
    return max(1, int(math.ceil(value / target - 1e-9)))


@compiled
def kpa(target: float, stable: float, panic: float, ready: int, memory: Floats, now: int) -> int:
    """Return the wish of Knative's KPA: a stable window, and a panic window that only scales up.

    Source: knative.dev, Configuring metrics and autoscaling; knative/serving pkg/autoscaler/scaling/autoscaler.go.
    """
    most, least = math.ceil(_KPA_UP * max(1, ready)), math.floor(max(1, ready) / _KPA_DOWN)
    raw_stable, raw_panic = math.ceil(stable / target - 1e-9), math.ceil(panic / target - 1e-9)
    wanted = int(min(max(raw_stable, least), most))
    urgent = int(min(max(raw_panic, least), most))
    over = raw_panic / max(1, ready) >= _KPA_PANIC_AT
    if over:
        memory[1] = now
        if memory[2] == 0.0:
            memory[2], memory[3] = 1.0, 0.0
    elif memory[2] == 1.0 and now - memory[1] > _KPA_STABLE_S:
        memory[2] = 0.0
    if memory[2] == 1.0:
        memory[3] = max(memory[3], float(max(wanted, urgent)))
        return max(1, int(memory[3]))
    return max(1, wanted)


@compiled
def apa(target: float, use: float, ready: int, total: int) -> int:
    """Return the wish of AIBrix's APA: the HPA's ratio with two tolerances and two rates.

    Source: AIBrix, documentation of its autoscaling: APA.
    """
    ratio = use / target
    wanted = math.ceil(ready * ratio - 1e-9)
    if ratio > 1 + _APA_UP:
        return max(total, int(min(wanted, math.ceil(_APA_RATE * ready))))
    if ratio < 1 - _APA_DOWN:
        return max(1, int(max(wanted, math.floor(ready / _APA_RATE))))
    return total


@compiled
def dynamo(target: float, load: Floats, now: int, is_arima: bool) -> int:
    """Return what the planner's throughput mode sets for the next interval's load.

    The constant predictor takes the last interval's; the other fits ARIMA(1, 1, 0) to the last intervals by least
    squares. Source: docs.nvidia.com/dynamo, Planner Design, Throughput-Based Scaling.
    """
    last = mean(load, now, _DYNAMO_INTERVAL_S)
    count = min(_DYNAMO_HISTORY, now // _DYNAMO_INTERVAL_S)
    expected = last
    if is_arima and count >= 5:
        products, squares, before, latest = 0.0, 0.0, 0.0, 0.0
        for back in range(count - 1, 0, -1):
            end = now - (back - 1) * _DYNAMO_INTERVAL_S
            change = mean(load, end, _DYNAMO_INTERVAL_S) - mean(load, end - _DYNAMO_INTERVAL_S, _DYNAMO_INTERVAL_S)
            products += change * before
            squares += before * before
            before, latest = change, change
        slope = max(-1.0, min(1.0, products / squares)) if squares > 0 else 0.0
        expected = max(0.0, last + slope * latest)
    return max(1, int(math.ceil(expected / target - 1e-9)))


@compiled
def wish(
    kind: int,
    target: float,
    now: int,
    load: Floats,
    concurrency: Floats,
    busy: Floats,
    memory: Floats,
    ready: int,
    total: int,
) -> int:
    """Return how many replicas a policy wants now; `total` where it is not its time to decide."""
    wanted = total
    if kind == KPA:
        if now % _KPA_TICK_S == 0:
            stable, panic = mean(concurrency, now, _KPA_STABLE_S), mean(concurrency, now, _KPA_PANIC_S)
            wanted = kpa(target, stable, panic, ready, memory, now)
    elif kind in (DYNAMO, DYNAMO_ARIMA):
        if now % _DYNAMO_INTERVAL_S == 0:
            wanted = dynamo(target, load, now, kind == DYNAMO_ARIMA)
    elif kind == APA:
        if now % _APA_TICK_S == 0 and ready > 0:
            wanted = apa(target, mean(concurrency, now, _APA_WINDOW_S) / ready, ready, total)
    elif now % _HPA_SYNC_S == 0:
        if kind == HPA_UTILISATION:
            wanted = hpa_behaviour(
                hpa_utilisation(target, mean(busy, now, 2 * _HPA_SYNC_S), ready, total), total, memory, now
            )
        elif kind == HPA_CONCURRENCY:
            wanted = hpa_behaviour(hpa_average(target, mean(concurrency, now, _HPA_SYNC_S), total), total, memory, now)
        elif kind == KEDA:
            if now % _KEDA_POLL_S == 0:
                memory[0] = mean(concurrency, now, 1)
            wanted = hpa_behaviour(hpa_average(target, memory[0], total), total, memory, now)
    return wanted
