"""Slow down who guesses: after a few failures each further try must wait, twice as long each time."""

from __future__ import annotations

from collections.abc import Callable

from keystore.engines.request import RequestError

FREE_TRIES = 5
LONGEST_S = 900
_REMEMBERED = 10_000


class Backoff:
    """The failures by what was tried; they are kept in memory alone, so a restart forgives."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}

    def check(self, what: str) -> None:
        """Refuse a try that comes too early.

        Raises: RequestError of status 429.
        """
        count, until = self._failures.get(what, (0, 0.0))
        left = until - self._clock()
        if count >= FREE_TRIES and left > 0:
            raise RequestError(f"too many failures: try again in {int(left) + 1} seconds", status=429)

    def failed(self, what: str) -> None:
        """Count a failure."""
        count = self._failures.pop(what, (0, 0.0))[0] + 1
        if len(self._failures) >= _REMEMBERED:
            self._failures.pop(next(iter(self._failures)))
        wait = min(LONGEST_S, 2 ** min(count - FREE_TRIES, 20)) if count >= FREE_TRIES else 0
        self._failures[what] = (count, self._clock() + wait)

    def succeeded(self, what: str) -> None:
        """Forget the failures."""
        self._failures.pop(what, None)
