"""Size: tokens to replicas by a profile of accelerator and model, corrected by what the host really does."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files

from bundler.errors import HostError

_QUICK, _SLOW = 0.3, 0.05
_SATURATED_KV = 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """What one replica sustains within its objectives, in tokens/s, and its price an hour in any unit.

    `measured` is how much of that the host really reached, learnt while replicas were full.
    """

    name: str
    prefill_tok_s: float
    decode_tok_s: float
    price: float = 1.0
    measured: float = 1.0

    def __post_init__(self) -> None:
        for name in ("prefill_tok_s", "decode_tok_s", "price", "measured"):
            if not 0 < getattr(self, name) < math.inf:
                raise HostError(f"expected a number above 0, got {getattr(self, name)}", place=f"{self.name}.{name}")

    def demand(self, prefill_tok_s: float, decode_tok_s: float) -> float:
        """Return how many such replicas a load keeps busy."""
        return (prefill_tok_s / self.prefill_tok_s + decode_tok_s / self.decode_tok_s) / self.measured


def seeds() -> Mapping[str, Profile]:
    """Return the shipped profiles by accelerator: rough starting points for a model of 8 billion parameters."""
    document = json.loads(files("bundler.autoscaler").joinpath("seeds.json").read_text())
    return {name: Profile(name=name, **row) for name, row in document["profiles"].items()}


def calibrate(profile: Profile, prefill_tok_s: float, decode_tok_s: float, *, is_full: bool) -> Profile:
    """Learn from what one replica did: what it did when full is what it can; more than believed is always believed."""
    reached = prefill_tok_s / profile.prefill_tok_s + decode_tok_s / profile.decode_tok_s
    if not (is_full or reached > profile.measured) or reached <= 0:
        return profile
    pace = _QUICK if is_full else _SLOW
    return replace(profile, measured=profile.measured + pace * (reached - profile.measured))


def is_full(queue: float, kv_use: float | None) -> bool:
    """Say whether a replica worked as hard as it can: requests waited, or its KV memory was full."""
    return queue > 0 or (kv_use is not None and kv_use >= _SATURATED_KV)


def cheapest_mix(
    prefill_tok_s: float, decode_tok_s: float, fleet: Sequence[tuple[Profile, int]]
) -> Mapping[str, int] | None:
    """Return how many of each kind carry a load at the lowest price; None where all together do not.

    Exact: every count of all kinds but the last is tried, and branches that cost more than the best are cut.
    """
    shares = [(each, most, each.demand(prefill_tok_s, decode_tok_s)) for each, most in fleet]
    shares.sort(key=lambda each: each[0].price * each[2])
    best: tuple[float, tuple[int, ...]] | None = None

    def search(place: int, left: float, price: float, counts: tuple[int, ...]) -> None:
        nonlocal best
        if left <= 1e-9:
            if best is None or price < best[0] - 1e-12:
                best = (price, counts)
            return
        if place == len(shares):
            return
        profile, most, demand = shares[place]
        # From here on nothing carries load at a lower price than this kind.
        if best is not None and price + left * demand * profile.price >= best[0] - 1e-12:
            return
        for count in range(min(most, math.ceil(left * demand - 1e-9)), -1, -1):
            search(place + 1, left - count / demand, price + count * profile.price, (*counts, count))

    if not shares or prefill_tok_s + decode_tok_s <= 0:
        return {each.name: 0 for each, _ in fleet}
    search(0, 1.0, 0.0, ())
    if best is None:
        return None
    counts = best[1] + (0,) * (len(shares) - len(best[1]))
    return {profile.name: count for (profile, _, _), count in zip(shares, counts, strict=True)}
