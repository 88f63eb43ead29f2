"""What goes through the service: requests on their way, and counts of what has been, in memory since the start."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from keystore.access.token import Token
from keystore.service.log import CORE, Log
from keystore.service.message import Inbound, Reply
from keystore.service.metric import Summary

_TOKEN = re.compile(r"(hv[sb])\.[A-Za-z0-9_-]{16,}")


@dataclass(slots=True)
class Flight:
    """A request on its way; `id` and `token` are set when they are known."""

    inbound: Inbound = field(repr=False)
    started: datetime
    began: float
    id: str = ""
    token: Token | None = field(default=None, repr=False)

    @property
    def path(self) -> str:
        """The path that was asked for in a form that can be shown: somebody may have put a token there by mistake."""
        found = _TOKEN.sub(r"\1.***", f"/v1/{self.inbound.path}")
        return found if found.isprintable() else ascii(found)


class Traffic:
    """The requests on their way, and durations and counts of those that were answered."""

    def __init__(self, clock: Callable[[], datetime], log: Log) -> None:
        self._clock = clock
        self._log = log
        self._flights: dict[int, Flight] = {}
        self._number = 0
        self.since = time.monotonic()
        self.requests = Summary()
        self.logins = Summary()
        self.audited = {"request": Summary(), "response": Summary()}
        self.unaudited: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.tokens: Counter[tuple[str, str]] = Counter()

    def begin(self, inbound: Inbound, respond: Callable[[Reply], None]) -> tuple[Flight, Callable[[Reply], None]]:
        """Note a request; return what is known of it, and what to answer by, so that its end is noted too."""
        self._number += 1
        number = self._number
        flight = self._flights[number] = Flight(inbound, self._clock(), time.perf_counter())

        def answer(reply: Reply) -> None:
            if self._flights.pop(number, None) is not None:
                self._count(flight, reply)
            respond(reply)

        return flight, answer

    def _count(self, flight: Flight, reply: Reply) -> None:
        path = flight.inbound.path
        login = path.startswith("auth/") and "/login" in path
        took_ms = (time.perf_counter() - flight.began) * 1000
        (self.logins if login else self.requests).observe(took_ms)
        if self._log.shows(CORE, "debug"):
            self._log.debug(CORE, f"{flight.inbound.method} {flight.path} {reply.status} {took_ms:.1f} ms")
        self.statuses[reply.status] += 1

    def flights(self) -> Iterable[Flight]:
        """Return the requests on their way, the oldest first."""
        return self._flights.values()

    def issued(self, token: Token) -> None:
        """Count a token that was kept."""
        self.tokens[(token.mount.rstrip("/"), token.kind)] += 1
