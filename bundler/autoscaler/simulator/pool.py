"""The pool, request by request: queue, batches of prefill and decode, KV limit, cold start, drain, failures.

A replica reads prompts one after the other before anything else (which stalls the decoding of the others), and decodes
all its requests together, in steps that take twice as long with a full batch as with an empty one. A request waits in
one queue before the pool, first come first served, until a replica has a slot and KV memory for it.
"""

from __future__ import annotations

import math

import numpy as np

from bundler.autoscaler.compiled import compiled
from bundler.autoscaler.simulator.opponents import MEMORY
from bundler.autoscaler.simulator.policy import START_S, decide
from bundler.autoscaler.simulator.trace import Floats

FREE, STARTING, READY, DRAINING = range(4)
# Columns of what is told of each second.
TOLD = ("wanted", "ready", "held", "queue", "concurrency", "busy")
# Columns of a replica.
_STATE, _SINCE, _PROMPTS, _CLOCK, _NOW, _COUNT, _KV, _BUSY = range(8)


@compiled
def advance(replica: Floats, ends: Floats, who: Floats, tokens: Floats, finished: Floats, until: float) -> None:
    """Let one replica work until a time; what ends is taken from the heap and its time of ending kept."""
    left = until - replica[_NOW]
    replica[_NOW] = until
    used = min(left, replica[_PROMPTS])
    replica[_PROMPTS] -= used
    replica[_BUSY] += used
    left -= used
    slots = len(ends)
    while left > 0 and replica[_COUNT] > 0:
        count = replica[_COUNT]
        rate = 2 / (slots + count)
        needed = (ends[0] - replica[_CLOCK]) / rate
        step = min(left, needed)
        replica[_CLOCK] += step * rate
        replica[_BUSY] += step * rate * count
        left -= step
        if needed > step:
            break
        replica[_CLOCK] = ends[0]
        index = int(who[0])
        finished[index] = until - left
        replica[_KV] -= tokens[index]
        pop(ends, who, int(count))
        replica[_COUNT] -= 1


@compiled
def pop(ends: Floats, who: Floats, count: int) -> None:
    """Take the first of a heap of `count`."""
    last_end, last_who = ends[count - 1], who[count - 1]
    place = 0
    while True:
        child = 2 * place + 1
        if child >= count - 1:
            break
        if child + 1 < count - 1 and ends[child + 1] < ends[child]:
            child += 1
        if ends[child] >= last_end:
            break
        ends[place], who[place] = ends[child], who[child]
        place = child
    ends[place], who[place] = last_end, last_who


@compiled
def push(ends: Floats, who: Floats, count: int, end: float, index: int) -> None:
    """Add one to a heap of `count`."""
    place = count
    while place > 0:
        parent = (place - 1) // 2
        if ends[parent] <= end:
            break
        ends[place], who[place] = ends[parent], who[parent]
        place = parent
    ends[place], who[place] = end, index


@compiled
def next_end(replica: Floats, ends: Floats) -> float:
    """Return when the next request of a replica ends if nothing else comes."""
    if replica[_COUNT] == 0:
        return math.inf
    rate = 2 / (len(ends) + replica[_COUNT])
    return float(replica[_NOW] + replica[_PROMPTS] + (ends[0] - replica[_CLOCK]) / rate)


@compiled
def roomiest(pool: Floats, slots: int, tokens: float, kv: float) -> int:
    """Return the ready replica with the fewest requests that has room for one more, or -1."""
    best, fewest = -1, float(slots)
    for index in range(len(pool)):
        replica = pool[index]
        has_room = replica[_COUNT] == 0 or replica[_KV] + tokens <= kv
        if replica[_STATE] == READY and replica[_COUNT] < fewest and has_room:
            best, fewest = index, replica[_COUNT]
    return best


@compiled
def admit(
    replica: Floats,
    ends: Floats,
    who: Floats,
    index: int,
    prefill: Floats,
    decode: Floats,
    tokens: Floats,
    ttft: Floats,
) -> None:
    """Put a request into a replica: its prompt is read after those before it, then it decodes."""
    replica[_PROMPTS] += prefill[index]
    replica[_KV] += tokens[index]
    push(ends, who, int(replica[_COUNT]), replica[_CLOCK] + decode[index], index)
    replica[_COUNT] += 1
    ttft[index] = replica[_NOW] + replica[_PROMPTS]


@compiled
def simulate(
    kind: int,
    target: float,
    at: Floats,
    prefill: Floats,
    decode: Floats,
    tokens: Floats,
    slots: int,
    kv: float,
    planned: Floats,
    seconds: int,
    cold_s: int,
    first: int,
    failures_per_s: float,
    seed: int,
) -> tuple[Floats, Floats, Floats, Floats, float]:
    """Return when each request was admitted, had its first token and ended, what each second told, and replica-seconds.

    A failed replica restarts; its requests come again. `first` replicas are ready at the start, no more are ever had.
    """
    np.random.seed(seed)
    count = len(at)
    admitted, ttft, finished = np.full(count, np.inf), np.full(count, np.inf), np.full(count, np.inf)
    told = np.zeros((seconds, len(TOLD)))
    load, concurrency, busy = np.zeros(seconds + 1), np.zeros(seconds + 1), np.zeros(seconds + 1)
    pool = np.zeros((2 * first + 8, 8))
    ends, who = np.zeros((len(pool), slots)), np.zeros((len(pool), slots))
    pool[:first, _STATE] = READY
    memory = np.full(MEMORY, float(first))
    memory[2] = 0.0
    again = np.zeros(count, dtype=np.int64)
    head, tail, returned, spent, done, before = 0, 0, 0, 0.0, 0.0, 0.0
    capacity = kv if kv > 0 else math.inf
    full_s = slots * float((prefill + decode).mean()) if count else 1.0
    for now in range(seconds):
        ready, starting, running = 0, 0, 0.0
        for index in range(len(pool)):
            replica = pool[index]
            if replica[_STATE] == STARTING and replica[_SINCE] <= now:
                replica[_STATE], replica[_NOW] = READY, now
            if replica[_STATE] >= READY:
                advance(replica, ends[index], who[index], tokens, finished, float(now))
                if replica[_STATE] == DRAINING and replica[_COUNT] == 0:
                    replica[_STATE] = FREE
            if failures_per_s > 0 and replica[_STATE] == READY and np.random.random() < failures_per_s:
                for slot in range(int(replica[_COUNT])):
                    again[returned] = int(who[index, slot])
                    returned += 1
                replica[_PROMPTS], replica[_COUNT], replica[_KV] = 0.0, 0.0, 0.0
                replica[_STATE], replica[_SINCE] = STARTING, now + max(1, cold_s)
            ready += replica[_STATE] == READY
            starting += replica[_STATE] == STARTING
            running += replica[_COUNT]
        waiting = tail - head + returned
        total = ready + starting
        wanted = total
        if now >= START_S:
            queue = waiting * full_s / slots
            wanted = decide(kind, target, now, load, concurrency, busy, planned, memory, ready, total, queue, cold_s)
        wanted = min(first, max(1, wanted))
        change(pool, wanted, total, ready, now, cold_s)
        held = 0
        for index in range(len(pool)):
            held += pool[index, _STATE] != FREE
        spent += held
        done = pool[:, _BUSY].sum()
        told[now, 0], told[now, 1], told[now, 2], told[now, 3] = wanted, ready, held, waiting
        told[now, 4], told[now, 5] = (running + waiting) / slots, done - before
        if now > 0:
            busy[now] = busy[now - 1] + (done - before)
        before = done
        concurrency[now + 1] = concurrency[now] + told[now, 4]
        busy[now + 1] = busy[now]
        arrived = 0.0
        while True:
            coming = at[tail] if tail < count else math.inf
            until = min(coming, now + 1.0)
            while head < tail or returned > 0:
                index = again[returned - 1] if returned > 0 else head
                best = roomiest(pool, slots, tokens[index], capacity)
                if best < 0:
                    soonest = math.inf
                    for one in range(len(pool)):
                        if pool[one, _STATE] == READY:
                            end = next_end(pool[one], ends[one])
                            if end < soonest:
                                soonest, best = end, one
                    if best < 0 or soonest > until:
                        break
                    advance(pool[best], ends[best], who[best], tokens, finished, soonest + 1e-9)
                    continue
                moment = max(pool[best, _NOW], at[index])
                advance(pool[best], ends[best], who[best], tokens, finished, moment)
                admit(pool[best], ends[best], who[best], index, prefill, decode, tokens, ttft)
                admitted[index] = moment
                if returned > 0:
                    returned -= 1
                else:
                    head += 1
            if coming >= now + 1.0:
                break
            arrived += prefill[tail] + decode[tail]
            tail += 1
            if head == tail - 1 and returned == 0:
                best = roomiest(pool, slots, tokens[head], capacity)
                if best >= 0:
                    advance(pool[best], ends[best], who[best], tokens, finished, max(coming, pool[best, _NOW]))
                    admit(pool[best], ends[best], who[best], head, prefill, decode, tokens, ttft)
                    admitted[head] = coming
                    head += 1
        load[now + 1] = load[now] + arrived
    return admitted, ttft, finished, told, spent


@compiled
def change(pool: Floats, wanted: int, total: int, ready: int, now: int, cold_s: int) -> None:
    """Start replicas, or give up the latest that start and drain the emptiest that are ready."""
    for _ in range(wanted - total):
        for index in range(len(pool)):
            if pool[index, _STATE] == FREE:
                pool[index, _STATE], pool[index, _SINCE] = STARTING, now + max(1, cold_s)
                pool[index, _NOW] = now
                break
    for _ in range(total - wanted):
        best, latest, fewest = -1, -1.0, math.inf
        for index in range(len(pool)):
            if pool[index, _STATE] == STARTING and pool[index, _SINCE] > latest:
                best, latest = index, pool[index, _SINCE]
        if best >= 0:
            pool[best, _STATE] = FREE
            continue
        if ready <= 1:
            break
        for index in range(len(pool)):
            if pool[index, _STATE] == READY and pool[index, _COUNT] < fewest:
                best, fewest = index, pool[index, _COUNT]
        pool[best, _STATE] = DRAINING if fewest > 0 else FREE
        ready -= 1
