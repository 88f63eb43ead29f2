"""Rate limits: how many requests a client may send to the paths below one, as Vault's rate limit quotas.

Source: the Vault HTTP API documentation, '/sys/quotas/rate-limit'. Clients are told apart by their address.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from keystore import document
from keystore.barrier.overlay import View
from keystore.engines.request import RequestError

TABLE = "core/quotas"
_CLIENTS_MOST = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """`rate_milli` thousandths of a request in each interval below `path`; who exceeds it is refused for a block."""

    name: str
    path: str
    rate_milli: int
    interval_s: int = 1
    block_s: int = 0

    def described(self) -> dict[str, Any]:
        """Return what a read answers."""
        return {
            "name": self.name,
            "type": "rate-limit",
            "path": self.path,
            "rate": self.rate_milli / 1000,
            "interval": self.interval_s,
            "block_interval": self.block_s,
            "role": "",
            "inheritable": False,
        }

    def covers(self, path: str) -> bool:
        """Tell whether a request's path is below that of the quota."""
        place = self.path.removesuffix("*")
        return path.startswith(place) or f"{path}/" == place


Table = Mapping[str, Quota]


@functools.lru_cache(maxsize=4)
def _parsed(data: bytes) -> Table:
    return {name: Quota(**one) for name, one in document.parse(data, TABLE).items()}


def read(view: View) -> Table:
    """Return the quotas by name."""
    data = view.get(TABLE)
    return {} if data is None else _parsed(data)


def write(view: View, table: Table) -> None:
    """Keep the quotas."""
    view.put(TABLE, document.canonical({name: asdict(one) for name, one in sorted(table.items())}))


def covering(table: Table, path: str) -> Quota | None:
    """Return the quota of a path: the one of the longest path."""
    return max((one for one in table.values() if one.covers(path)), key=lambda one: len(one.path), default=None)


class Limiter:
    """What each client has left, in memory: a bucket that fills with time."""

    def __init__(self) -> None:
        self._left: dict[tuple[Quota, str], tuple[float, float]] = {}
        self._blocked: dict[tuple[Quota, str], float] = {}

    def check(self, view: View, path: str, remote: str, now: float) -> None:
        """Count a request.

        Raises: RequestError of status 429 when a client sent too many.
        """
        table = read(view)
        quota = covering(table, path) if table else None
        if quota is not None and not self._take(quota, remote, now):
            raise RequestError(f'request path "{path}": rate limit quota exceeded', status=429)

    def _take(self, quota: Quota, remote: str, now: float) -> bool:
        key = (quota, remote)
        if now < self._blocked.get(key, 0.0):
            return False
        rate = quota.rate_milli / 1000
        most = float(math.ceil(rate))
        left, then = self._left.pop(key, (most, now))
        left = min(most, left + max(0.0, now - then) * rate / quota.interval_s)
        enough = left >= 1
        self._keep(self._left, key, (left - enough, now))
        if not enough and quota.block_s:
            self._keep(self._blocked, key, now + quota.block_s)
        return enough

    @staticmethod
    def _keep(places: dict[Any, Any], key: tuple[Quota, str], value: object) -> None:
        if len(places) >= _CLIENTS_MOST and key not in places:
            places.pop(next(iter(places)))
        places[key] = value
