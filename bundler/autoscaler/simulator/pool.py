"""The pool, request by request: queue, batches of prefill and decode, KV limit, cold start, drain, failures, sleep.

A request waits in one queue before the pool, first come first served, until a replica has a slot and KV memory for it.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from bundler.autoscaler.compiled import compiled
from bundler.autoscaler.simulator.opponents import MEMORY
from bundler.autoscaler.simulator.policy import RESERVE, START_S, decide
from bundler.autoscaler.simulator.replica import (
    AT,
    BUSY,
    COUNT,
    DECODE,
    DRAINING,
    FREE,
    KV,
    NOW,
    PREFILL,
    PROMPTS,
    READY,
    SINCE,
    SLEEPING,
    STARTING,
    STATE,
    TOKENS,
    WAKING,
    admit,
    advance,
    next_end,
    roomiest,
)
from bundler.autoscaler.simulator.trace import Floats

Counts = npt.NDArray[np.int64]

# Columns of what is told of each second; `asleep` counts replicas.
TOLD = ("wanted", "ready", "held", "queue", "concurrency", "busy", "asleep")
# Where the queue stands: the first that waits, the next that arrives, and how many of failed replicas come again.
HEAD, TAIL, RETURNED = range(3)


@compiled
def simulate(
    kind: int,
    target: float,
    requests: Floats,
    slots: int,
    kv: float,
    planned: Floats,
    seconds: int,
    cold_s: int,
    first: int,
    failures_per_s: float,
    seed: int,
    wake_s: int,
    sleeping_cost: float,
) -> tuple[Floats, Floats, float]:
    """Return when each request was admitted, had its first token and ended, what each second told, and replica-seconds.

    A failed replica restarts; its requests come again. `first` replicas are ready at the start, no more are ever had.
    Replicas sleep where `wake_s` is above 0; each second asleep counts as `sleeping_cost` of one awake.
    """
    np.random.seed(seed)
    outcome = np.full((3, requests.shape[1]), np.inf)
    told = np.zeros((seconds, len(TOLD)))
    load, concurrency, busy = np.zeros(seconds + 1), np.zeros(seconds + 1), np.zeros(seconds + 1)
    pool = np.zeros((2 * first + 8, 8))
    ends, who = np.zeros((len(pool), slots)), np.zeros((len(pool), slots))
    pool[:first, STATE] = READY
    memory = np.full(MEMORY, float(first))
    memory[2] = 0.0
    again, queue = np.zeros(requests.shape[1], dtype=np.int64), np.zeros(3, dtype=np.int64)
    spent, before, wanted = 0.0, 0.0, first
    capacity = kv if kv > 0 else math.inf
    full_s = slots * float((requests[PREFILL] + requests[DECODE]).mean()) if requests.shape[1] else 1.0
    for now in range(seconds):
        pass_time(pool, ends, who, requests, outcome, now, wake_s > 0, wanted)
        if failures_per_s > 0:
            fail(pool, who, again, queue, now, cold_s, failures_per_s)
        ready = counted(pool, READY)
        total = ready + (counted(pool, WAKING) if wake_s > 0 else counted(pool, STARTING))
        waiting = queue[TAIL] - queue[HEAD] + queue[RETURNED]
        wanted = total
        if now >= START_S:
            late = waiting * full_s / slots
            helps_s = wake_s if wake_s > 0 else cold_s
            wanted = decide(kind, target, now, load, concurrency, busy, planned, memory, ready, total, late, helps_s)
        wanted = min(first, max(1, wanted))
        if wake_s > 0:
            rest(pool, wanted, min(first, max(wanted, int(memory[RESERVE]))), now, wake_s, cold_s)
        else:
            change(pool, wanted, total, ready, now, cold_s)
        asleep = counted(pool, SLEEPING)
        held = len(pool) - counted(pool, FREE) - asleep
        spent += held + asleep * sleeping_cost
        done = pool[:, BUSY].sum()
        told[now, 0], told[now, 1], told[now, 2], told[now, 3] = wanted, ready, held, waiting
        told[now, 4], told[now, 5], told[now, 6] = (pool[:, COUNT].sum() + waiting) / slots, done - before, asleep
        if now > 0:
            busy[now] = busy[now - 1] + (done - before)
        before = done
        concurrency[now + 1] = concurrency[now] + told[now, 4]
        busy[now + 1] = busy[now]
        load[now + 1] = load[now] + serve(pool, ends, who, requests, outcome, again, queue, slots, capacity, now)
    return outcome, told, spent


@compiled
def counted(pool: Floats, state: int) -> int:
    """Return how many replicas are in a state."""
    count = 0
    for index in range(len(pool)):
        count += pool[index, STATE] == state
    return count


@compiled
def pass_time(
    pool: Floats, ends: Floats, who: Floats, requests: Floats, outcome: Floats, now: int, sleeps: bool, wanted: int
) -> None:
    """Let starts and wakes end and all replicas work; what started beyond the `wanted` replicas goes to sleep."""
    awake = counted(pool, READY) + counted(pool, WAKING)
    for index in range(len(pool)):
        replica = pool[index]
        if replica[STATE] == WAKING and replica[SINCE] <= now:
            replica[STATE], replica[NOW] = READY, now
        if replica[STATE] == STARTING and replica[SINCE] <= now:
            replica[STATE], replica[NOW] = READY, now
            if sleeps and awake >= wanted:
                replica[STATE] = SLEEPING
            awake += 1
        if replica[STATE] >= READY:
            advance(replica, ends[index], who[index], requests, outcome, float(now))
            if replica[STATE] == DRAINING and replica[COUNT] == 0:
                replica[STATE] = SLEEPING if sleeps else FREE


@compiled
def fail(pool: Floats, who: Floats, again: Counts, queue: Counts, now: int, cold_s: int, failures_per_s: float) -> None:
    """Let chance take replicas that are ready; they start anew, and their requests come again."""
    for index in range(len(pool)):
        replica = pool[index]
        if replica[STATE] == READY and np.random.random() < failures_per_s:
            for slot in range(int(replica[COUNT])):
                again[queue[RETURNED]] = int(who[index, slot])
                queue[RETURNED] += 1
            replica[PROMPTS], replica[COUNT], replica[KV] = 0.0, 0.0, 0.0
            replica[STATE], replica[SINCE] = STARTING, now + max(1, cold_s)


@compiled
def serve(
    pool: Floats,
    ends: Floats,
    who: Floats,
    requests: Floats,
    outcome: Floats,
    again: Counts,
    queue: Counts,
    slots: int,
    capacity: float,
    now: int,
) -> float:
    """Admit what waits and what arrives within one second; return the demand that arrived."""
    arrived, count = 0.0, requests.shape[1]
    while True:
        coming = requests[AT, queue[TAIL]] if queue[TAIL] < count else math.inf
        hand_out(pool, ends, who, requests, outcome, again, queue, slots, capacity, min(coming, now + 1.0))
        if coming >= now + 1.0:
            return arrived
        one = queue[TAIL]
        arrived += requests[PREFILL, one] + requests[DECODE, one]
        queue[TAIL] += 1
        if queue[HEAD] == one and queue[RETURNED] == 0:
            best = roomiest(pool, slots, requests[TOKENS, one], capacity)
            if best >= 0:
                moment = max(coming, pool[best, NOW])
                advance(pool[best], ends[best], who[best], requests, outcome, moment)
                admit(pool[best], ends[best], who[best], requests, outcome, one)
                queue[HEAD] += 1


@compiled
def hand_out(
    pool: Floats,
    ends: Floats,
    who: Floats,
    requests: Floats,
    outcome: Floats,
    again: Counts,
    queue: Counts,
    slots: int,
    capacity: float,
    until: float,
) -> None:
    """Admit what waits, each as soon as something ends for it, as long as that is before a time."""
    while queue[HEAD] < queue[TAIL] or queue[RETURNED] > 0:
        index = again[queue[RETURNED] - 1] if queue[RETURNED] > 0 else queue[HEAD]
        best = roomiest(pool, slots, requests[TOKENS, index], capacity)
        if best < 0:
            best, soonest = soonest_end(pool, ends)
            if best < 0 or soonest > until:
                return
            advance(pool[best], ends[best], who[best], requests, outcome, soonest + 1e-9)
            continue
        moment = max(pool[best, NOW], requests[AT, index])
        advance(pool[best], ends[best], who[best], requests, outcome, moment)
        admit(pool[best], ends[best], who[best], requests, outcome, index)
        if queue[RETURNED] > 0:
            queue[RETURNED] -= 1
        else:
            queue[HEAD] += 1


@compiled
def soonest_end(pool: Floats, ends: Floats) -> tuple[int, float]:
    """Return the ready replica in which a request ends soonest, and when; -1 where nothing runs."""
    best, soonest = -1, math.inf
    for index in range(len(pool)):
        if pool[index, STATE] == READY:
            end = next_end(pool[index], ends[index])
            if end < soonest:
                soonest, best = end, index
    return best, soonest


@compiled
def first_in(pool: Floats, state: int) -> int:
    """Return a replica in a state, or -1."""
    for index in range(len(pool)):
        if pool[index, STATE] == state:
            return index
    return -1


@compiled
def emptiest(pool: Floats) -> int:
    """Return the ready replica with the fewest requests, or -1."""
    best, fewest = -1, math.inf
    for index in range(len(pool)):
        if pool[index, STATE] == READY and pool[index, COUNT] < fewest:
            best, fewest = index, pool[index, COUNT]
    return best


@compiled
def latest_start(pool: Floats) -> int:
    """Return the replica that has been starting for the shortest time, or -1."""
    best, latest = -1, -1.0
    for index in range(len(pool)):
        if pool[index, STATE] == STARTING and pool[index, SINCE] > latest:
            best, latest = index, pool[index, SINCE]
    return best


@compiled
def change(pool: Floats, wanted: int, total: int, ready: int, now: int, cold_s: int) -> None:
    """Start replicas, or give up the latest that start and drain the emptiest that are ready."""
    start(pool, wanted - total, now, cold_s)
    for _ in range(total - wanted):
        best = latest_start(pool)
        if best >= 0:
            pool[best, STATE] = FREE
            continue
        if ready <= 1:
            break
        best = emptiest(pool)
        pool[best, STATE] = DRAINING if pool[best, COUNT] > 0 else FREE
        ready -= 1


@compiled
def start(pool: Floats, count: int, now: int, cold_s: int) -> None:
    """Start replicas."""
    for _ in range(count):
        index = first_in(pool, FREE)
        if index < 0:
            break
        pool[index, STATE], pool[index, SINCE], pool[index, NOW] = STARTING, now + max(1, cold_s), now


@compiled
def rest(pool: Floats, wanted: int, prepared: int, now: int, wake_s: int, cold_s: int) -> None:
    """Have as many awake as are wanted, and as many in all as shall be prepared.

    Up, what drains comes back, then sleepers wake; down, the emptiest go to sleep. Beside, replicas are started for the
    reserve, or the latest starts and sleepers that are too many are given up.
    """
    ready = counted(pool, READY)
    awake = ready + counted(pool, WAKING)
    for _ in range(wanted - awake):
        index = first_in(pool, DRAINING)
        if index >= 0:
            pool[index, STATE] = READY
            continue
        index = first_in(pool, SLEEPING)
        if index < 0:
            break
        pool[index, STATE], pool[index, SINCE] = WAKING, now + wake_s
    for _ in range(min(awake - wanted, ready - 1)):
        index = emptiest(pool)
        pool[index, STATE] = DRAINING if pool[index, COUNT] > 0 else SLEEPING
    surplus = len(pool) - counted(pool, FREE) - prepared
    start(pool, -surplus, now, cold_s)
    for _ in range(surplus):
        index = latest_start(pool)
        if index < 0:
            index = first_in(pool, SLEEPING)
        if index < 0:
            break
        pool[index, STATE] = FREE
