"""When bundles of the inbox may be installed, by this host's own clock and time zone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, time

from bundler.errors import HostError

_TEXT = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A part of every day, from `start` to before `end`; it may go over midnight."""

    start: time
    end: time

    def holds(self, now: datetime) -> bool:
        """Say whether a moment, in the host's own time zone, is inside."""
        at = now.time().replace(tzinfo=None)
        if self.start <= self.end:
            return self.start <= at < self.end
        return at >= self.start or at < self.end

    def __str__(self) -> str:
        return f"{self.start:%H:%M}-{self.end:%H:%M}"


def parse_window(text: str, *, place: str) -> Window | None:
    """Parse HH:MM-HH:MM; "" is any time: None.

    Raises:
        HostError: it is neither, or a window without a minute in it.
    """
    if not text:
        return None
    match = _TEXT.fullmatch(text)
    if match is None or match[1] + match[2] == match[3] + match[4]:
        raise HostError(
            f'expected a window such as "01:00-05:00", got "{text}"', place=place, hint="leave it out for any time"
        )
    start, end = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
    return Window(start=start, end=end)
