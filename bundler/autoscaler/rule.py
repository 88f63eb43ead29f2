"""The rule of Ferry's own policy in numbers: a floor from the forecast, a guard against what happens, hysteresis."""

from __future__ import annotations

import math

from bundler.autoscaler.compiled import compiled

# Of what is above the need a step down leaves this share and count, against noise, until the window has passed.
_BAND, _BAND_COUNT = 0.06, 1.0
HOLD_TICKS = 20
# A replica goes to sleep when it has not been needed for a minute: waking costs seconds only.
AWAKE_TICKS = 4
# How full replicas may be on average: beyond, the next burst waits.
_PACKED = 0.9


@compiled
def floor(expected: float, unsure: float, caution: float) -> int:
    """Return the replicas that the forecast asks for, with a headroom of `caution` in logarithms."""
    return max(1, int(math.ceil(expected * math.exp(min(5.0, caution * unsure)) - 0.1)))


@compiled
def guard(queue: float, load: float, ready: float, coming: float, cold_s: float) -> int:
    """Return the replicas that clear the queue soon after what is started now has come; 0 without a queue.

    `queue` is in replica-seconds; until then replicas that start already help from the middle of a start on.
    """
    if queue <= 0.25 * ready:
        return 0
    later = queue + (load - ready) * cold_s - coming * cold_s / 2
    if later <= 0:
        return 0
    return int(math.ceil(load * 1.05 + later / 60.0))


@compiled
def reactive(busy: float, occupied: float, caution: float, unsure: float) -> int:
    """Return the replicas that carry what the pool does and holds now, with the same headroom; both in replicas.

    `busy` is what it works, `occupied` how many are full if requests, those that wait included, are packed.
    """
    return max(
        int(math.ceil(busy * math.exp(min(5.0, caution * unsure)) - 0.1)), int(math.ceil(occupied / _PACKED - 1e-9))
    )


@compiled
def settle(need: int, held: int, total: int, is_learnt: bool) -> int:
    """Return how many replicas to have: up at once, down to the need plus a band, and further when it has held.

    `held` is the highest need of the last `HOLD_TICKS`. Until the forecast has learnt, nothing goes below that.
    """
    if need >= total:
        return need
    if not is_learnt:
        return min(total, held)
    band = int(math.ceil(need * (1 + _BAND) + _BAND_COUNT - 1e-9))
    return min(total, held, band) if held > need else min(total, need)


@compiled
def reserve(need: int, expected: float, headroom: float) -> int:
    """Return how many replicas shall be awake or asleep: for the load until a start has ended, and headroom."""
    return max(need, floor(expected, headroom, 1.0))


def spare_surprise(cold_s: float, wake_s: float, sleeping_cost: float) -> float:
    """Return how much rarer it shall be that a sleeper lacks than that one must wake, as a logarithm.

    One asleep costs a share of one awake, and where it lacks the load waits for a start instead of a wake.
    """
    return math.log(1 / sleeping_cost) + max(0.0, math.log(cold_s / wake_s))
