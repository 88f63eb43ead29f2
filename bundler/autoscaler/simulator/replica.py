"""One replica, request by request: prompts are read first, all else decodes together, in a heap by when it ends.

A replica reads prompts one after the other before anything else (which stalls the decoding of the others), and decodes
all its requests together, in steps that take twice as long with a full batch as with an empty one.
"""

from __future__ import annotations

import math

from bundler.autoscaler.compiled import compiled
from bundler.autoscaler.simulator.trace import Floats

# What a replica may be: from STARTING on it holds a card, from READY on it works.
FREE, SLEEPING, STARTING, WAKING, READY, DRAINING = range(6)
# Columns of a replica.
STATE, SINCE, PROMPTS, CLOCK, NOW, COUNT, KV, BUSY = range(8)
# Rows of what is known of requests, and of what becomes of them.
AT, PREFILL, DECODE, TOKENS = range(4)
ADMITTED, FIRST, FINISHED = range(3)


@compiled
def advance(replica: Floats, ends: Floats, who: Floats, requests: Floats, outcome: Floats, until: float) -> None:
    """Let one replica work until a time; what ends is taken from the heap and its time of ending kept."""
    left = until - replica[NOW]
    replica[NOW] = until
    used = min(left, replica[PROMPTS])
    replica[PROMPTS] -= used
    replica[BUSY] += used
    left -= used
    slots = len(ends)
    while left > 0 and replica[COUNT] > 0:
        count = replica[COUNT]
        rate = 2 / (slots + count)
        needed = (ends[0] - replica[CLOCK]) / rate
        step = min(left, needed)
        replica[CLOCK] += step * rate
        replica[BUSY] += step * rate * count
        left -= step
        if needed > step:
            break
        replica[CLOCK] = ends[0]
        index = int(who[0])
        outcome[FINISHED, index] = until - left
        replica[KV] -= requests[TOKENS, index]
        pop(ends, who, int(count))
        replica[COUNT] -= 1


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
    if replica[COUNT] == 0:
        return math.inf
    rate = 2 / (len(ends) + replica[COUNT])
    return float(replica[NOW] + replica[PROMPTS] + (ends[0] - replica[CLOCK]) / rate)


@compiled
def roomiest(pool: Floats, slots: int, tokens: float, kv: float) -> int:
    """Return the ready replica with the fewest requests that has room for one more, or -1."""
    best, fewest = -1, float(slots)
    for index in range(len(pool)):
        replica = pool[index]
        has_room = replica[COUNT] == 0 or replica[KV] + tokens <= kv
        if replica[STATE] == READY and replica[COUNT] < fewest and has_room:
            best, fewest = index, replica[COUNT]
    return best


@compiled
def admit(replica: Floats, ends: Floats, who: Floats, requests: Floats, outcome: Floats, index: int) -> None:
    """Put a request into a replica: its prompt is read after those before it, then it decodes."""
    outcome[ADMITTED, index] = replica[NOW]
    replica[PROMPTS] += requests[PREFILL, index]
    replica[KV] += requests[TOKENS, index]
    push(ends, who, int(replica[COUNT]), replica[CLOCK] + requests[DECODE, index], index)
    replica[COUNT] += 1
    outcome[FIRST, index] = replica[NOW] + replica[PROMPTS]
