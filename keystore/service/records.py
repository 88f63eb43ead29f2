"""The records of one mount, cut out of those of the store."""

from __future__ import annotations

from keystore.barrier.overlay import View


class MountRecords:
    """What lies below one prefix; it fulfils `keystore.engines.request.Records`."""

    __slots__ = ("_prefix", "_view")

    def __init__(self, view: View, prefix: str) -> None:
        self._view = view
        self._prefix = prefix

    def get(self, key: str) -> bytes | None:
        """Return a record, or None."""
        return self._view.get(self._prefix + key)

    def put(self, key: str, value: bytes) -> None:
        """Keep a record."""
        self._view.put(self._prefix + key, value)

    def delete(self, key: str) -> None:
        """Forget a record, if there is one."""
        self._view.delete(self._prefix + key)

    def names(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix, sorted."""
        return self._view.names(self._prefix + prefix)
