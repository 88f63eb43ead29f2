"""Readings of replicas over time as one observation: rates, resets, what is lost, and what the load is.

Counters are compared by the monotonic clock, so a clock that jumps changes nothing. A counter that fell was reset: what
it shows has come since. A replica that does not answer is left out of the rates; when none answers, nothing is known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from bundler.autoscaler.model import Observation
from bundler.autoscaler.observe.dialects import Reading
from bundler.autoscaler.size import Profile, calibrate, is_full

# What a pool works is told over a minute, and learnt from as slowly.
WINDOW_S = 60.0
_SMOOTH = 0.1
# A rate over less is mostly chance, one over more is of another time.
_LEAST_S, _MOST_S = 1.0, 180.0
_LEAST_WORK = 1e-6


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many replicas of a pool are in which state."""

    ready: int
    starting: int = 0
    draining: int = 0
    sleeping: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Rate:
    """What one replica did in the last interval: tokens/s, requests/s, and its state at the end."""

    seconds: float
    prefill_tok_s: float
    decode_tok_s: float
    done_s: float
    reading: Reading


class Observer:
    """What is known of one pool: the last reading of each replica, and what its profile turned out to be."""

    def __init__(self, profile: Profile, work: float | None = None) -> None:
        self.profile = profile
        # Replica-seconds that a request takes on average; None before the first were done.
        self.work = work
        self._last: dict[str, tuple[float, Reading]] = {}
        self._waiting: tuple[float, float] | None = None
        self._busy: deque[tuple[float, float]] = deque()
        self._percent = False

    def observe(
        self, at_s: float, readings: Mapping[str, Reading | None], counts: Counts, before: float = 0.0
    ) -> Observation:
        """Take the readings of all replicas that run, at one moment; `at_s` only ever goes on.

        `before` are requests that wait before them, for whichever is free next.
        """
        self._percent = self._percent or any(one is not None and one.is_percent for one in readings.values())
        told = {name: self._in_shares(one) for name, one in readings.items() if one is not None}
        rates = {name: rate for name, one in told.items() if (rate := self._rate(name, at_s, one)) is not None}
        self._last = {name: (at_s, one) for name, one in told.items()}
        bare = Observation(
            at_s=at_s,
            ready=counts.ready,
            starting=counts.starting,
            draining=counts.draining,
            sleeping=counts.sleeping,
        )
        if readings and len(told) * 2 <= len(readings):
            # Most replicas are silent: what the others do says nothing of the pool.
            self._waiting = None
            return bare
        waiting = sum(one.waiting or 0.0 for one in told.values()) * len(readings) / max(1, len(told))
        waiting += before
        growing = self._growth(at_s, waiting)
        if not rates:
            return bare
        for rate in rates.values():
            self._learn(rate)
        return self._known(bare, told, rates, waiting, growing, len(readings) / len(rates))

    def _in_shares(self, reading: Reading) -> Reading:
        """Return a reading whose KV use is a share: a server that once told percent always does."""
        if reading.kv_use is None or not self._percent or reading.server != "mindie":
            return reading
        return replace(reading, kv_use=reading.kv_use / 100)

    def _rate(self, name: str, at_s: float, reading: Reading) -> Rate | None:
        last = self._last.get(name)
        if last is None or not _LEAST_S <= at_s - last[0] <= _MOST_S:
            return None
        seconds = at_s - last[0]
        return Rate(
            seconds=seconds,
            prefill_tok_s=_grown(last[1].prefill, reading.prefill) / seconds,
            decode_tok_s=_grown(last[1].decode, reading.decode) / seconds,
            done_s=_grown(last[1].done, reading.done) / seconds,
            reading=reading,
        )

    def _learn(self, rate: Rate) -> None:
        """Correct profile and work by what one replica did."""
        full = is_full(rate.reading.waiting or 0.0, rate.reading.kv_use)
        self.profile = calibrate(self.profile, rate.prefill_tok_s, rate.decode_tok_s, is_full=full)
        if rate.done_s > 0:
            took = self.profile.demand(rate.prefill_tok_s, rate.decode_tok_s) / rate.done_s
            share = min(1.0, _SMOOTH * rate.done_s * rate.seconds)
            self.work = took if self.work is None else self.work + share * (took - self.work)

    def _known(
        self,
        bare: Observation,
        told: Mapping[str, Reading],
        rates: Mapping[str, Rate],
        waiting: float,
        growing: float,
        scale: float,
    ) -> Observation:
        """Add what is known; `scale` is how many replicas there are for each that told a rate."""
        working = scale * sum(self.profile.demand(one.prefill_tok_s, one.decode_tok_s) for one in rates.values())
        work = self.work or _LEAST_WORK
        self._busy.append((bare.at_s, working))
        while bare.at_s - self._busy[0][0] > WINDOW_S:
            self._busy.popleft()
        shares = [one.kv_use for one in told.values() if one.kv_use is not None]
        held = sum(shares) * scale * len(rates) / len(shares) if shares else None
        return replace(
            bare,
            load=max(0.0, working + growing * work),
            queue=waiting * work,
            busy=sum(value for _, value in self._busy) / len(self._busy),
            occupied=None if held is None else held + waiting * work / WINDOW_S,
            kv_use=max(shares) if shares else None,
        )

    def _growth(self, at_s: float, waiting: float) -> float:
        """Return by how many requests a second the queue grows: they arrived and were not served."""
        last, self._waiting = self._waiting, (at_s, waiting)
        if last is None or not _LEAST_S <= at_s - last[0] <= _MOST_S:
            return 0.0
        return (waiting - last[1]) / (at_s - last[0])


def _grown(before: float | None, after: float | None) -> float:
    if before is None or after is None:
        return 0.0
    return after - before if after >= before else after
