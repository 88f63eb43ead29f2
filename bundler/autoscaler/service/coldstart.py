"""How long a start takes on this host: measured, kept for each release of the replicas, never guessed twice."""

from __future__ import annotations

import json
import math
from collections import deque
from pathlib import Path

from bundler.store import write_file

# So many starts are remembered, and so many must have been seen before they count instead of the operator's number.
_KEPT, _ENOUGH = 50, 3
_SHARE = 0.95
_LEAST_S, _MOST_S = 1.0, 7200.0


class ColdStarts:
    """The seconds from the start of a unit to its first answer."""

    def __init__(self, seconds: list[float] | None = None) -> None:
        self._seconds = deque(seconds or [], maxlen=_KEPT)

    def add(self, seconds: float) -> None:
        """Take note of a start."""
        if _LEAST_S <= seconds <= _MOST_S:
            self._seconds.append(seconds)

    def p95(self, otherwise: float) -> float:
        """Return what 95 % of the starts take at most; `otherwise` until some have been seen."""
        if len(self._seconds) < _ENOUGH:
            return otherwise
        found = sorted(self._seconds)
        return found[math.ceil(_SHARE * len(found)) - 1]

    @property
    def count(self) -> int:
        """How many starts are known."""
        return len(self._seconds)

    def keep(self, path: Path) -> None:
        """Write them to a file.

        Raises:
            HostError, OSError: it cannot be written.
        """
        write_file(path, json.dumps([round(one, 3) for one in self._seconds]).encode(), durable=False)


def recall_starts(path: Path) -> ColdStarts:
    """Return what a file keeps; one that is missing or torn is nothing known."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return ColdStarts([float(one) for one in found])
    except (OSError, ValueError, TypeError):
        return ColdStarts()
