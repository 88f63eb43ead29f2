"""What ends when: tokens and leases, in memory, rebuilt from their records at each unseal."""

from __future__ import annotations

import heapq
from collections.abc import Iterator

from keystore import document
from keystore.access.token import BY_ID, Token
from keystore.barrier.overlay import View
from keystore.service import leases


class Expiry:
    """A queue of what may have ended; the record tells whether it really has, as a renewal leaves an older entry."""

    def __init__(self) -> None:
        self._queue: list[tuple[int, str, str]] = []

    def token(self, at: int, identifier: str) -> None:
        """Look at a token at a time."""
        heapq.heappush(self._queue, (at, "token", identifier))

    def lease(self, at: int, identifier: str) -> None:
        """Look at a lease at a time."""
        heapq.heappush(self._queue, (at, "lease", identifier))

    def due(self, now: int) -> Iterator[tuple[str, str]]:
        """Return what is to be looked at, kind and id, and forget it."""
        while self._queue and self._queue[0][0] <= now:
            _, kind, identifier = heapq.heappop(self._queue)
            yield kind, identifier

    def load(self, view: View, now: int) -> None:
        """Queue everything that the store knows of."""
        for identifier in view.names(BY_ID):
            data = view.get(BY_ID + identifier)
            if data is not None and (expires := Token.parse(identifier, data).expires):
                self.token(max(expires, now), identifier)
        for path in view.paths(leases.BY_ID):
            data = view.get(path)
            if data is not None:
                self.lease(max(document.parse(data, path)["expires"], now), path.removeprefix(leases.BY_ID))
