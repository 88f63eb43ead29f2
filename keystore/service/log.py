"""The service's own log, for the operator: one level for each part of it, which can be changed while it runs.

Source: the Vault HTTP API documentation, '/sys/loggers'.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from keystore.engines.request import RequestError

LEVELS = ("trace", "debug", "info", "warn", "error")
USUAL = "info"
CORE, EXPIRATION, AUDIT = "core", "expiration", "audit"
_SAME = {"notice": "info", "warning": "warn", "err": "error"}


def _to_standard_error(line: str) -> None:
    sys.stderr.write(f"{line}\n")


class Log:
    """Lines by the part that they come from; `write` takes those that are to be seen."""

    def __init__(self, write: Callable[[str], None] = _to_standard_error) -> None:
        self._write = write
        self._levels = dict.fromkeys((AUDIT, CORE, EXPIRATION), USUAL)

    @property
    def levels(self) -> dict[str, str]:
        """Return the level of each part."""
        return dict(self._levels)

    def set(self, name: str, level: str) -> None:
        """Show the lines of a part from this level on; '' names all parts.

        Raises: RequestError.
        """
        if not level:
            raise RequestError("level is required")
        found = _SAME.get(level.lower(), level.lower())
        if found not in LEVELS:
            raise RequestError(f"invalid level provided: unknown log level: {level}")
        if name and name not in self._levels:
            raise RequestError(f'logger "{name}" not found')
        self._levels |= dict.fromkeys([name] if name else self._levels, found)

    def shows(self, name: str, level: str) -> bool:
        """Tell whether a line of this level is to be seen."""
        return LEVELS.index(level) >= LEVELS.index(self._levels[name])

    def debug(self, name: str, line: str) -> None:
        """Write what helps to find a fault."""
        self._tell(name, "debug", f"debug: {line}")

    def info(self, name: str, line: str) -> None:
        """Write what is as it should be."""
        self._tell(name, "info", line)

    def warn(self, name: str, line: str) -> None:
        """Write what somebody should look at."""
        self._tell(name, "warn", f"warning: {line}")

    def error(self, name: str, line: str) -> None:
        """Write what went wrong: no level hides that."""
        self._tell(name, "error", f"error: {line}")

    def _tell(self, name: str, level: str, line: str) -> None:
        if self.shows(name, level):
            self._write(line)
