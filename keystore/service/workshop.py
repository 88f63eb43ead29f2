"""Work that takes long is done beside the loop; the request that needs it is carried out again once it is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")
_PASSES = 4
"""A request whose work is never the one that was done does it at last where it stands."""


class NeedsWork(Exception):  # noqa: N818 (it is no error: the request goes on when the work is done)
    """A request cannot go on before some work is done."""

    def __init__(self, name: str, work: Callable[[], Any]) -> None:
        super().__init__(name)
        self.name = name
        self.work = work


class Workshop:
    """What was made for one request so far, by the name of the work."""

    __slots__ = ("_made",)

    def __init__(self) -> None:
        self._made: dict[str, Any] = {}

    def __call__(self, name: str, work: Callable[[], T]) -> T:
        """Return what was made under a name.

        Raises: NeedsWork when it was not made yet.
        """
        if name not in self._made:
            if len(self._made) >= _PASSES:
                return work()
            raise NeedsWork(name, work)
        found: T = self._made[name]
        return found

    def keep(self, name: str, made: object) -> None:
        """Take what was made."""
        self._made[name] = made
