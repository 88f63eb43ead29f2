"""The values of the autoscaler: what is observed, foreseen, allowed and decided; no effects."""

from __future__ import annotations

from dataclasses import dataclass, field

from bundler.errors import HostError


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What is known of a service at a moment; None is not known, which is never taken for zero.

    `load` is the demand that arrives, in replicas, `queue` what waits, in replica-seconds. `busy` is what the pool
    works and `occupied` how many replicas its requests would fill, both over the last minute. `kv_use` is the share
    of KV memory in use.
    """

    at_s: float
    ready: int
    starting: int = 0
    draining: int = 0
    sleeping: int = 0
    load: float | None = None
    queue: float | None = None
    busy: float | None = None
    occupied: float | None = None
    kv_use: float | None = None

    def __post_init__(self) -> None:
        for name in ("ready", "starting", "draining", "sleeping", "load", "queue", "busy", "occupied", "kv_use"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < float("inf"):
                raise HostError(f"expected a number of at least 0, got {value}", place=f"observation.{name}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The load to expect at most until a new replica can help, and how unsure that is (1: as usual)."""

    expected: float
    unsure: float = 1.0
    is_learnt: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What the operator allows: bounds, headroom in logarithms, cold start, and whether all changes are frozen."""

    minimum: int = 1
    maximum: int = 100
    caution: float = 0.25
    cold_s: float = 120.0
    kv_most: float = 0.9
    is_frozen: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum:
            raise HostError(
                f"expected 0 <= minimum <= maximum, got {self.minimum} and {self.maximum}", place="limits.minimum"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """How many replicas there shall be, what to do for it, and why in a sentence.

    `needs` are the latest needs, the newest last; they are given to the next decision.
    """

    replicas: int
    undrain: int = 0
    wake: int = 0
    start: int = 0
    cancel: int = 0
    drain: int = 0
    reason: str
    needs: tuple[int, ...] = field(default=())
