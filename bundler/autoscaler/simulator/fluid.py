"""The fluid pool: the load of each second against the replicas that are ready, for sweeps of many targets."""

from __future__ import annotations

import numpy as np

from bundler.autoscaler.compiled import compiled
from bundler.autoscaler.simulator.opponents import MEMORY
from bundler.autoscaler.simulator.policy import START_S, decide
from bundler.autoscaler.simulator.trace import Floats

SLO_S = 2.0


@compiled
def fluid(
    kind: int, target: float, work: Floats, counts: Floats, planned: Floats, cold_s: int, full_s: float, first: int
) -> tuple[float, float]:
    """Return the share of requests within the SLO, and replica-seconds.

    `work` and `counts` are the demand and the requests of each second, `planned` what is known beforehand of each tick
    or second, `full_s` how long a request runs in a full replica. There are never more than `first` replicas.
    """
    seconds = len(work)
    load, concurrency, busy = np.zeros(seconds + 1), np.zeros(seconds + 1), np.zeros(seconds + 1)
    coming = np.zeros(seconds + cold_s + 2, dtype=np.int64)
    memory = np.full(MEMORY, float(first))
    memory[2] = 0.0
    ready, starting, inside, late, spent = first, 0, 0.0, 0.0, 0.0
    for now in range(seconds):
        ready += coming[now]
        starting -= coming[now]
        total = ready + starting
        wanted = total
        if now >= START_S:
            queue = max(0.0, inside - ready * full_s / 2)
            wanted = decide(kind, target, now, load, concurrency, busy, planned, memory, ready, total, queue, cold_s)
        wanted = min(first, max(1, wanted))
        if wanted > total:
            coming[now + max(1, cold_s)] += wanted - total
            starting += wanted - total
        elif wanted < total:
            surplus = total - wanted
            slot = now + max(1, cold_s)
            while surplus > 0 and starting > 0 and slot > now:
                taken = min(surplus, coming[slot])
                coming[slot] -= taken
                starting -= taken
                surplus -= taken
                slot -= 1
            surplus = min(surplus, ready - 1)
            if surplus > 0:
                ready -= surplus
                spent += surplus * full_s / 2
        inside += work[now]
        room = ready * full_s / 2
        filled = min(1.0, inside / room)
        served = min(inside, ready * 2 * filled / (1 + filled))
        inside -= served
        queue = max(0.0, inside - room)
        if queue > SLO_S * ready:
            late += counts[now]
        spent += ready + starting
        load[now + 1] = load[now] + work[now]
        busy[now + 1] = busy[now] + served
        concurrency[now + 1] = concurrency[now] + (inside - queue) / (full_s / 2) + queue / full_s
    return 1 - late / max(1.0, counts.sum()), spent
