"""The decision: a pure function of what is observed, foreseen and allowed."""

from __future__ import annotations

import math

from bundler.autoscaler.model import Decision, Forecast, Limits, Observation
from bundler.autoscaler.rule import HOLD_TICKS, floor, guard, reactive, settle


def decide(seen: Observation, forecast: Forecast, limits: Limits, needs: tuple[int, ...] = ()) -> Decision:
    """Decide how many replicas there shall be; the same input always gives the same decision.

    `needs` are those of the last decision. Without telemetry everything is held; only the operator's bounds still
    count, and nothing changes at all during a freeze.
    """
    total = seen.ready + seen.starting
    if limits.is_frozen:
        return Decision(replicas=total, reason=f"frozen by the operator: {total} replicas stay", needs=needs)
    if seen.load is None or seen.queue is None:
        bounded = _bounded(total, limits)
        return _steps(seen, bounded, f"no telemetry: {bounded} replicas are held", needs)
    need, why = _need(seen, seen.load, seen.queue, forecast, limits)
    kept = (*needs, need)[-HOLD_TICKS:]
    settled = settle(need, max(kept), total, forecast.is_learnt)
    wanted = _bounded(settled, limits)
    return _steps(seen, wanted, _sentence(total, need, settled, wanted, why), kept)


def _need(seen: Observation, load: float, queue: float, forecast: Forecast, limits: Limits) -> tuple[int, str]:
    """Return the most of what forecast, queue and KV memory ask for, and which it was."""
    asked = [
        (
            floor(forecast.expected, forecast.unsure, limits.caution),
            f"a load of up to {forecast.expected:.1f} replicas is expected within {limits.cold_s:.0f} s",
        ),
        (
            guard(queue, load, seen.ready, seen.starting, limits.cold_s),
            f"{queue:.0f} replica-seconds of work are waiting",
        ),
    ]
    if seen.busy is not None:
        doing = reactive(seen.busy, seen.occupied or 0.0, limits.caution, forecast.unsure)
        asked.append((doing, f"the pool does the work of {seen.busy:.1f} replicas"))
    if seen.kv_use is not None and seen.kv_use > limits.kv_most and seen.ready:
        asked.append(
            (math.ceil(seen.ready * seen.kv_use / limits.kv_most), f"{seen.kv_use:.0%} of the KV memory is in use")
        )
    return max(asked, key=lambda each: each[0])


def _bounded(replicas: int, limits: Limits) -> int:
    return max(limits.minimum, min(limits.maximum, replicas))


def _sentence(total: int, need: int, settled: int, wanted: int, why: str) -> str:
    verb = "hold" if wanted == total else "grow" if wanted > total else "shrink"
    text = f"{verb} at {wanted}" if verb == "hold" else f"{verb} from {total} to {wanted}"
    notes = []
    if settled > need:
        notes.append(f"{need} would do, which has not yet held for {HOLD_TICKS} decisions")
    if wanted != settled:
        notes.append(f"bounded by the {'minimum' if wanted > settled else 'maximum'}")
    return f"{text}: {why}" + "".join(f"; {each}" for each in notes)


def _steps(seen: Observation, wanted: int, reason: str, needs: tuple[int, ...]) -> Decision:
    """Say what to do: first what drains comes back, then sleepers wake, then replicas start; down, starts go first."""
    more = max(0, wanted - seen.ready - seen.starting)
    undrain = min(more, seen.draining)
    wake = min(more - undrain, seen.sleeping)
    less = max(0, seen.ready + seen.starting - wanted)
    cancel = min(less, seen.starting)
    return Decision(
        replicas=wanted,
        undrain=undrain,
        wake=wake,
        start=more - undrain - wake,
        cancel=cancel,
        drain=less - cancel,
        reason=reason,
        needs=needs,
    )
