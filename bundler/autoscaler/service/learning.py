"""What the forecast has learnt of one pool: grown tick by tick, kept over restarts, forgotten after nine days."""

from __future__ import annotations

import hashlib
import json
from array import array
from pathlib import Path

from bundler.autoscaler.forecast import FEATURES, LEARNT, STATE, TICK_S, step
from bundler.autoscaler.model import Forecast
from bundler.store import write_file

_DAY = 86_400 // TICK_S
# The forecast looks a week back; what is older is dropped a day at a time.
_KEPT, _TRIMMED = 9 * _DAY, 8 * _DAY
# A gap of telemetry up to this is bridged with the last load, so that yesterday stays yesterday.
_MOST_GAP = _DAY
_FORMAT = "ferry/autoscaler-forecast/v1"
_ROWS = ("loads", "levels", "rises", "errors", "rows", "weights", "spread", "state")


class Learner:
    """The forecast of one pool; a file keeps it."""

    def __init__(self) -> None:
        self._loads, self._levels, self._rises, self._errors = array("d"), array("d"), array("d"), array("d")
        self._rows = array("d")
        self._weights = array("d", bytes(8 * FEATURES))
        self._spread = array("d", (float(i == j) for i in range(FEATURES) for j in range(FEATURES)))
        self._state = array("d", bytes(8 * STATE))
        self._row = array("d", bytes(8 * FEATURES))
        self._last_tick: int | None = None
        self._told = Forecast(expected=0.0)

    def learn(self, at_s: float, load: float | None, cold_s: float) -> Forecast:
        """Take the load at a time in seconds since 1970 and return the highest to expect within a cold start.

        A load that is not known teaches nothing; what was foreseen last stays.
        """
        tick = int(at_s // TICK_S)
        if load is None:
            return self._told
        gap = 1 if self._last_tick is None else tick - self._last_tick
        if gap > _MOST_GAP or gap < -_MOST_GAP:
            # Days without telemetry, or a clock set anew: the days do not fit each other any more.
            self.__init__()  # type: ignore[misc]
            gap = 1
        for _ in range(gap - 1):
            self._step(self._loads[-1], cold_s)
        if gap > 0:
            self._told = self._step(load, cold_s)
            self._last_tick = tick
        return self._told

    def _step(self, load: float, cold_s: float) -> Forecast:
        for row in (self._loads, self._levels, self._rises, self._errors):
            row.append(0.0)
        self._rows.extend(array("d", bytes(8 * FEATURES)))
        now = len(self._loads) - 1
        self._loads[now] = load
        horizon = max(1, round((cold_s + TICK_S) / TICK_S))
        expected, unsure = step(
            self._loads,
            self._levels,
            self._rises,
            self._errors,
            self._rows,
            self._weights,
            self._spread,
            self._state,
            now,
            horizon,
            self._row,
        )
        if now + 1 >= _KEPT:
            self._trim(now + 1 - _TRIMMED)
        return Forecast(expected=expected, unsure=unsure, is_learnt=self._state[8] >= LEARNT)

    def _trim(self, count: int) -> None:
        for row in (self._loads, self._levels, self._rises, self._errors):
            del row[:count]
        del self._rows[: count * FEATURES]

    def keep(self, path: Path) -> None:
        """Write everything to a file.

        Raises:
            HostError, OSError: it cannot be written.
        """
        body = b"".join(getattr(self, f"_{name}").tobytes() for name in _ROWS)
        head = {
            "format": _FORMAT,
            "last_tick": self._last_tick,
            "sizes": [len(getattr(self, f"_{name}")) for name in _ROWS],
            "told": [self._told.expected, self._told.unsure, self._told.is_learnt],
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        write_file(path, json.dumps(head).encode() + b"\n" + body, durable=False)


def recall(path: Path) -> Learner:
    """Return what a file keeps; one that is missing, torn or of another version is nothing learnt yet."""
    learner = Learner()
    try:
        first, _, body = path.read_bytes().partition(b"\n")
        head = json.loads(first)
        if head["format"] != _FORMAT or head["sha256"] != hashlib.sha256(body).hexdigest():
            return learner
        _fill(learner, head["sizes"], body)
        learner._last_tick = head["last_tick"]
        expected, unsure, is_learnt = head["told"]
        learner._told = Forecast(expected=expected, unsure=unsure, is_learnt=is_learnt)
    except (OSError, ValueError, KeyError, TypeError):
        return Learner()
    return learner


def _fill(learner: Learner, sizes: list[int], body: bytes) -> None:
    """Take the rows out of a file's body, whose digest is right."""
    at = 0
    for name, size in zip(_ROWS, sizes, strict=True):
        row = array("d")
        row.frombytes(body[at : at + 8 * size])
        setattr(learner, f"_{name}", row)
        at += 8 * size
