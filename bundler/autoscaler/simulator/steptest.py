"""The step test: a load in ten equal steps from 100 to 1,000, and how busy is what is held.

The protocol: 10 steps of 30 minutes, the first of 100, each higher by 100, in units of which 100 keep 5 of the fastest
cards busy; the same requests for every card, 800 tokens in and 200 out; cold start as given; the policy knows nothing
beforehand. Utilisation is the work done divided by the replica-seconds held, starts and drains included, over all ten
steps; what the policy starts with is held for a minute.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bundler.autoscaler.forecast import TICK_S
from bundler.autoscaler.simulator import opponents
from bundler.autoscaler.simulator.policy import foresee
from bundler.autoscaler.simulator.pool import simulate
from bundler.autoscaler.simulator.replica import ADMITTED
from bundler.autoscaler.size import Profile, seeds

STEPS, STEP_S, INPUT, OUTPUT = 10, 1800, 800, 200
_CAUTION = 0.1
_RATE_OF_FASTEST = 5.0
_SLOTS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """What a card came to: mean utilisation, share of requests within the SLO, the most replicas held."""

    utilisation: float
    attainment: float
    most: int


def step_test(*, cold_s: int, seed: int = 1, caution: float = _CAUTION) -> Mapping[str, StepResult]:
    """Return the result of each card that a profile is shipped for."""
    known = seeds()
    fastest = min(each.demand(INPUT, OUTPUT) for each in known.values())
    rate = _RATE_OF_FASTEST / fastest
    return {name: _card(profile, rate, cold_s, seed, caution) for name, profile in known.items()}


def _card(profile: Profile, rate: float, cold_s: int, seed: int, caution: float) -> StepResult:
    random = np.random.default_rng(seed)
    prefill_s, decode_s = INPUT / profile.prefill_tok_s, OUTPUT / profile.decode_tok_s
    thin = max(1.0, rate * STEPS * STEPS * STEP_S / 2 / 400_000)
    times = []
    for step in range(STEPS):
        per_s = rate * (step + 1) / thin
        gaps = random.gamma(thin, 1 / (thin * per_s), size=int(per_s * STEP_S * 1.2) + 50)
        at = np.cumsum(gaps)
        times.append(at[at < STEP_S] + step * STEP_S)
    at_s = np.concatenate(times)
    prefill, decode = np.full(len(at_s), prefill_s * thin), np.full(len(at_s), decode_s * thin)
    seconds = STEPS * STEP_S
    loads = np.bincount(
        np.minimum(at_s.astype(np.int64) // TICK_S, seconds // TICK_S - 1),
        prefill + decode,
        minlength=seconds // TICK_S,
    )
    told = foresee(loads / TICK_S, -(-(cold_s + TICK_S) // TICK_S) + 1)
    most = math.ceil(1.6 * float(loads.max()) / TICK_S)
    requests = np.stack((at_s, prefill, decode, prefill))
    outcome, series, spent = simulate(
        opponents.FERRY, caution, requests, _SLOTS, 0.0, told, seconds, cold_s, most, 0.0, seed, 0, 1.0
    )
    return StepResult(
        utilisation=float(series[:, 5].sum()) / spent,
        attainment=float((outcome[ADMITTED] - at_s <= 2.0).mean()),
        most=int(series[:, 2].max()),
    )
