"""A clock that goes on only when somebody waits."""

from __future__ import annotations

import threading

from bundler.pace import Clock


class StillClock(Clock):
    """Writes down how long was waited; `time` begins at midnight of 1 December 2026 and chance changes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.waited: list[float] = []
        self._now = 1000.0
        self._lock = threading.Lock()

    def now(self) -> float:
        return self._now

    def time(self) -> float:
        return self._now - 1000.0 + 1796083200.0

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.waited.append(seconds)
            self._now += seconds

    def spread(self, seconds: float) -> float:
        return seconds
