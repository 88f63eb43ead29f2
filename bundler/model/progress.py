"""How long work tells that it goes on."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a long piece of work reports to: each stage with its size, then how far it went, in bytes."""

    def start(self, stage: str, total: int) -> None:
        """Begin a stage of `total` bytes, 0 when that is not known."""

    def advance(self, count: int) -> None:
        """Go on by `count` bytes; any thread may call."""


class Silent:
    """Reports to nobody."""

    def start(self, stage: str, total: int) -> None:
        """Begin a stage."""

    def advance(self, count: int) -> None:
        """Go on."""
