"""The forecast: what the highest load will be until a replica that is started now can help.

All of it are functions of numbers over rows that the caller keeps: lists in the service, arrays in the simulator. Loads
are in replicas (1.0 keeps one replica busy), one entry a tick. The forecast of a tick is learnt from when its horizon
has passed. Three experts say by how much the load will have risen: none (the mean rise so far), a regression on trends
and on yesterday's and last week's course, and its share is what it has proved to be better.
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

from bundler.autoscaler.compiled import compiled

# A list of floats in the service, an array in the simulator.
Row: TypeAlias = Any

TICK_S = 15
FEATURES = 8
# mean rise, loss of naive, loss of the model, recent and lasting error, fast, middle and slow level, seen, noise
STATE = 12
# Ticks that must have been learnt before the forecast is believed: an hour.
LEARNT = 240
_SMOOTH = 4
_DAY = 86_400 // TICK_S
_LEAST = 0.05
_FORGET = 1 - 1 / (4 * _DAY)
_AROUND = 20


@compiled
def level(loads: Row, now: int, noise: float) -> float:
    """Return the load of the last minute, or that of the last tick where it is higher by more than noise."""
    since = max(0, now + 1 - _SMOOTH)
    total = 0.0
    for index in range(since, now + 1):
        total += loads[index]
    return float(max(_LEAST, total / (now + 1 - since), loads[now] - 2 * noise))


@compiled
def highest(loads: Row, since: int, until: int) -> float:
    """Return the highest mean of two ticks after `since` up to `until`."""
    most = 0.0
    for index in range(since + 1, until + 1):
        most = max(most, (loads[index] + loads[index - 1]) / 2)
    return max(_LEAST, most)


@compiled
def course(levels: Row, rises: Row, around: int, known: int) -> tuple[float, float]:
    """Return the mean log rise and the mean log level around a tick of the past; rises are known up to `known`."""
    rise, log_level, count = 0.0, 0.0, 0
    for index in range(max(0, around - _AROUND), min(known, around + _AROUND) + 1):
        rise += rises[index]
        log_level += math.log(levels[index])
        count += 1
    if count == 0:
        return 0.0, math.log(levels[around])
    return rise / count, log_level / count


@compiled
def describe(
    row: Row,
    levels: Row,
    rises: Row,
    state: Row,
    now: int,
    horizon: int,
) -> None:
    """Write what is known of a tick into its row of features."""
    log_level = math.log(levels[now])
    for place, seconds in ((5, 120.0), (6, 600.0), (7, 3600.0)):
        if now == 0:
            state[place] = log_level
        state[place] += (log_level - state[place]) * TICK_S / seconds
    row[0] = 1.0
    row[1] = log_level - state[5]
    row[2] = state[5] - state[6]
    row[3] = state[6] - state[7]
    for place, period in ((4, _DAY), (6, 7 * _DAY)):
        row[place] = 0.0
        row[place + 1] = 0.0
        if now - period >= 0:
            rise, past = course(levels, rises, now - period, now - horizon)
            row[place] = rise
            row[place + 1] = past - log_level


@compiled
def learn(
    features: Row,
    rise: float,
    weights: Row,
    spread: Row,
    state: Row,
) -> float:
    """Learn a rise by recursive least squares that forgets, and return how far off the forecast was."""
    said = 0.0
    gain = [0.0] * FEATURES
    scale = _FORGET
    for i in range(FEATURES):
        said += weights[i] * features[i]
        for j in range(FEATURES):
            gain[i] += spread[i * FEATURES + j] * features[j]
        scale += features[i] * gain[i]
    error = rise - said
    trace = 0.0
    for i in range(FEATURES):
        weights[i] += gain[i] / scale * error
        trace += spread[i * FEATURES + i]
    keep = _FORGET if trace < 100.0 * FEATURES else 1.0
    for i in range(FEATURES):
        for j in range(FEATURES):
            spread[i * FEATURES + j] = (spread[i * FEATURES + j] - gain[i] * gain[j] / scale) / keep
    state[8] += 1
    seen = state[8]
    naive = abs(rise - state[0])
    slow = max(TICK_S / 86_400, 1 / (seen + 20))
    state[0] += (rise - state[0]) * slow
    state[1] += (naive - state[1]) * slow
    state[2] += (abs(error) - state[2]) * slow
    share = trust(state)
    off = abs(rise - ((1 - share) * state[0] + share * said))
    state[3] += (off - state[3]) * TICK_S / 7200
    state[4] += (off - state[4]) * max(TICK_S / (3 * 86_400), 1 / (seen + 20))
    return float(off)


@compiled
def trust(state: Row) -> float:
    """Return the share of the regression: none until it has been better than the mean rise by some margin."""
    if state[8] < LEARNT or state[1] <= 0:
        return 0.0
    return float(min(1.0, max(0.0, (1 - state[2] / state[1]) / 0.15)))


@compiled
def step(
    loads: Row,
    levels: Row,
    rises: Row,
    errors: Row,
    rows: Row,
    weights: Row,
    spread: Row,
    state: Row,
    now: int,
    horizon: int,
    row: Row,
) -> tuple[float, float]:
    """Take the load of one more tick; return the load to expect at most, in the middle, and how unsure that is.

    The second is 1 when the recent errors are as large as they usually are. `rows` keeps the features of each tick,
    `row` is room for those of one.
    """
    levels[now] = level(loads, now, state[9])
    state[9] += (1.25 * abs(loads[now] - levels[now]) - state[9]) * max(0.02, 1 / (now + 2))
    past = now - horizon
    if past >= 0:
        rises[past] = math.log(highest(loads, past, now) / levels[past])
        for index in range(FEATURES):
            row[index] = rows[past * FEATURES + index]
        errors[past] = learn(row, rises[past], weights, spread, state)
    describe(row, levels, rises, state, now, horizon)
    said = 0.0
    for index in range(FEATURES):
        rows[now * FEATURES + index] = row[index]
        said += weights[index] * row[index]
    share = trust(state)
    rise = min(1.5, max(-0.7, (1 - share) * state[0] + share * said))
    return levels[now] * math.exp(rise), unsure(errors, state, now, horizon)


@compiled
def unsure(errors: Row, state: Row, now: int, horizon: int) -> float:
    """Return how the errors of the last hours, and of yesterday at this time, compare with the lasting ones."""
    if state[8] < LEARNT or state[4] <= 0:
        return 1.0
    recent = state[3] / state[4]
    if now - _DAY >= _AROUND:
        total, count = 0.0, 0
        for index in range(now - _DAY - _AROUND, min(now - horizon, now - _DAY + 2 * _AROUND) + 1):
            total += errors[index]
            count += 1
        recent = 0.6 * recent + 0.4 * total / max(1, count) / state[4]
    return float(min(1.6, max(0.6, 0.5 + 0.5 * recent)))
