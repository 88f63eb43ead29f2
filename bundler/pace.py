"""How hard a server may be pressed: fewer requests at once when it refuses, one by one more while it serves."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

# What registries and indexes take from one client without complaint, and what fills a fast line already.
MOST_AT_ONCE = 8
FIRST_AT_ONCE = 4


# The threads that have a turn.
_asking = threading.local()


class Clock:
    """Time and chance, as the world has them."""

    def __init__(self) -> None:
        self._stopped = threading.Event()

    def now(self) -> float:
        """Return seconds that only ever go on."""
        return time.monotonic()

    def time(self) -> float:
        """Return the seconds since 1970."""
        return time.time()

    def sleep(self, seconds: float) -> None:
        """Wait, unless there is nothing left to wait for."""
        self._stopped.wait(seconds)

    def stop(self) -> None:
        """End all waiting, now and later."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether all waiting has ended."""
        return self._stopped.is_set()

    def spread(self, seconds: float) -> float:
        """Return up to a quarter more, so that many clients do not come back at one moment."""
        return seconds * (1 + random.random() / 4)  # noqa: S311 (no secret)


class Pace:
    """What one server takes: `limit` requests at once, none before `hold` is over; `dead` once it did not answer.

    The limit halves when the server refuses, once for all requests that were under way, and grows by one for as many
    requests as it allows.
    """

    def __init__(self, clock: Clock) -> None:
        self.dead = False
        self._clock = clock
        self._limit = float(FIRST_AT_ONCE)
        self._busy = 0
        self._halved = 0
        self._until = 0.0
        self._change = threading.Condition()

    @property
    def limit(self) -> int:
        """How many requests may be under way."""
        return int(self._limit)

    @contextmanager
    def turn(self) -> Iterator[int]:
        """Wait for a place among the requests; yield what `failed` wants to know.

        A request for the sake of another one, such as a login, is part of it.
        """
        if getattr(_asking, "busy", False):
            yield self._halved
            return
        with self._change:
            self._change.wait_for(lambda: self._busy < self.limit)
            self._busy += 1
            halved = self._halved
        _asking.busy = True
        try:
            self._rest()
            yield halved
        finally:
            _asking.busy = False
            with self._change:
                self._busy -= 1
                self._change.notify_all()

    def _rest(self) -> None:
        while not self._clock.stopped and (left := self._until - self._clock.now()) > 0:
            self._clock.sleep(left)

    def worked(self) -> None:
        """Take note that the server served a request."""
        with self._change:
            self.dead = False
            self._limit = min(MOST_AT_ONCE, self._limit + 1 / self._limit)
            self._change.notify_all()

    def failed(self, halved: int, hold_s: float) -> None:
        """Take note that it refused a request of the turn `halved`, and wants none for some seconds."""
        with self._change:
            if halved == self._halved:
                self._limit = max(1.0, self._limit / 2)
                self._halved += 1
            self._until = max(self._until, self._clock.now() + hold_s)
