"""How long work tells that it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """What a long piece of work reports to: each stage with its size, then how far it went, in bytes."""

    def start(self, stage: str, total: int) -> None:
        """Begin a stage of `total` bytes, 0 when that is not known."""

    def advance(self, count: int) -> None:
        """Go on by `count` bytes; any thread may call."""

    def item(self, name: str, size: int) -> AbstractContextManager[Callable[[int], None]]:
        """Begin one thing of the stage, of `size` bytes; what is returned goes on with it and with the stage."""


class Silent:
    """Reports to nobody."""

    def start(self, stage: str, total: int) -> None:
        """Begin a stage."""

    def advance(self, count: int) -> None:
        """Go on."""

    @contextmanager
    def item(self, name: str, size: int) -> Iterator[Callable[[int], None]]:
        """Begin one thing."""
        yield self.advance
