"""Every policy at equal attainment: its own target swept in the fluid pool, then set by runs request by request."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from bundler.autoscaler.forecast import TICK_S
from bundler.autoscaler.simulator import opponents
from bundler.autoscaler.simulator.arrivals import Arrivals, slots_of
from bundler.autoscaler.simulator.fluid import SLO_S, fluid
from bundler.autoscaler.simulator.policy import drowsy, foresee
from bundler.autoscaler.simulator.pool import simulate
from bundler.autoscaler.simulator.replica import ADMITTED, FINISHED, FIRST
from bundler.autoscaler.simulator.trace import Floats

_CLAIRVOYANT_WINDOWS = (5, 30, 120, 300)
_EVERY = 0.9999
_GRID, _HALVINGS, _RUNS = 12, 8, 6
_CLOSE = 0.012
_UNDRAFTED = 2.0
_SMALL = 2e8
# How a replica sleeps where nothing else is said: awake in 10 s, and counted as a tenth of a card. vLLM's first level
# of sleep frees "up to 90%+" of a card's memory, and its authors measured 0.1 to 6 s until it is awake again.
# Source: docs.vllm.ai, Features, Sleep Mode; blog.vllm.ai, 2025-10-26.
WAKE_S, SLEEPING_COST = 10, 0.1
_NONE = np.zeros((1, 5))


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run request by request: what it held, what it cost, and what each minute told."""

    target: float
    attainment: float
    replica_s: float
    ttft_p99_s: float
    tpot_p99_ratio: float
    wait_p99_s: Floats
    replicas: Floats
    load: Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """Arrivals against a pool: all that the policies share."""

    arrivals: Arrivals
    cold_s: int
    slots: int
    work: Floats
    counts: Floats
    observed: Floats
    first: int
    failures_per_s: float = 0.0
    kv_tokens: float = 0.0
    seed: int = 1
    wake_s: int = WAKE_S
    sleeping_cost: float = SLEEPING_COST

    @property
    def requests(self) -> Floats:
        """Return the rows that the pool takes."""
        arrivals = self.arrivals
        return np.stack((arrivals.at_s, arrivals.prefill_s, arrivals.decode_s, arrivals.tokens))

    @property
    def full_s(self) -> float:
        """Return how long a request runs in a full replica."""
        return self.slots * float(self.arrivals.work_s.mean())


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """A policy with what it knows beforehand; its target follows from a generosity that sweeps go through."""

    kind: int
    planned: Floats
    least: float
    most: float
    is_caution: bool = False
    is_sleeping: bool = False

    @property
    def grain(self) -> float:
        """Return how coarsely to sweep: targets are logarithms, or usual errors of a forecast, about a tenth each."""
        return 10.0 if self.is_sleeping else 1.0

    def target(self, generosity: float) -> float:
        """Return the target of the policy."""
        return generosity if self.is_caution else math.exp(-generosity)


def scene(
    arrivals: Arrivals,
    *,
    cold_s: int,
    failures_per_day: float = 0.0,
    seed: int = 1,
    wake_s: int = WAKE_S,
    sleeping_cost: float = SLEEPING_COST,
) -> Scene:
    """Return the scene with the fewest replicas that, always on, hold the SLO for every request."""
    second = np.minimum(arrivals.at_s.astype(np.int64), arrivals.duration_s - 1)
    work = np.bincount(second, arrivals.work_s, minlength=arrivals.duration_s).astype(np.float64)
    counts = np.bincount(second, minlength=arrivals.duration_s).astype(np.float64)
    draft = Scene(
        arrivals=arrivals,
        cold_s=cold_s,
        slots=slots_of(arrivals),
        work=work,
        counts=counts,
        observed=_observed(arrivals, second),
        first=1,
        failures_per_s=failures_per_day / 86_400,
        seed=seed,
        wake_s=wake_s,
        sleeping_cost=sleeping_cost,
    )
    return replace(draft, first=_static(draft))


def _static(scene: Scene) -> int:
    """Return the fewest replicas with which 99.99 % of the requests are served within the SLO."""
    low, high = 1, 2 * int(scene.work.sum() / len(scene.work) + scene.work.max()) + 2
    while low < high:
        middle = (low + high) // 2
        share, _ = fluid(opponents.STATIC, 1.0, scene.work, scene.counts, _NONE, scene.cold_s, scene.full_s, middle)
        low, high = (low, middle) if share >= 1 else (middle + 1, high)
    for _ in range(40):
        if (
            run(
                replace(scene, first=low), Contender(kind=opponents.STATIC, planned=_NONE, least=0, most=0), 0.0
            ).attainment
            >= _EVERY
        ):
            break
        low = math.ceil(low * 1.04)
    return low


def _observed(arrivals: Arrivals, second: np.ndarray) -> Floats:
    """Return the load of each tick as it can be known: prompts, and requests times what such have lately decoded."""
    ticks = arrivals.duration_s // TICK_S
    tick = np.minimum(second // TICK_S, ticks - 1)
    prompts = np.bincount(tick, arrivals.prefill_s, minlength=ticks)
    decode = np.bincount(tick, arrivals.decode_s, minlength=ticks)
    counts = np.bincount(tick, minlength=ticks).astype(np.float64)
    back, late = 600 // TICK_S, 60 // TICK_S
    sums, requests = (np.concatenate(([0.0], np.cumsum(each))) for each in (decode, counts))
    until = np.maximum(np.arange(ticks) - late, 1)
    since = np.maximum(until - back, 0)
    usual = (sums[until] - sums[since]) / np.maximum(requests[until] - requests[since], 1.0)
    return np.asarray((prompts + counts * usual) / TICK_S, dtype=np.float64)


def contenders(scene: Scene) -> Mapping[str, Sequence[Contender]]:
    """Return the policies by name; of one that has variants the cheapest counts."""

    def opponent(kind: int) -> Contender:
        return Contender(kind=kind, planned=_NONE, least=-0.4, most=3.2)

    horizon = -(-(scene.cold_s + TICK_S) // TICK_S) + 1
    told = foresee(scene.observed, horizon)
    drowsing = drowsy(scene.observed, cold_s=scene.cold_s, wake_s=scene.wake_s, sleeping_cost=scene.sleeping_cost)
    return {
        "hpa": (opponent(opponents.HPA_UTILISATION), opponent(opponents.HPA_CONCURRENCY)),
        "kpa": (opponent(opponents.KPA),),
        "ferry": (Contender(kind=opponents.FERRY, planned=told, least=-0.6, most=4.5, is_caution=True),),
        "ferry_sleeping": (
            Contender(
                kind=opponents.FERRY_SLEEPING,
                planned=drowsing,
                least=-2.0,
                most=24.0,
                is_caution=True,
                is_sleeping=True,
            ),
        ),
        "clairvoyant": tuple(
            Contender(kind=opponents.PLANNED, planned=_ahead(scene, window), least=-0.5, most=0.7)
            for window in _CLAIRVOYANT_WINDOWS
        ),
        "apa": (opponent(opponents.APA),),
        "keda": (opponent(opponents.KEDA),),
        "dynamo": (opponent(opponents.DYNAMO),),
        "dynamo_arima": (opponent(opponents.DYNAMO_ARIMA),),
    }


def _ahead(scene: Scene, window: int) -> Floats:
    """Return the highest load from each second until a replica that starts then would come."""
    sums = np.concatenate(([0.0], np.cumsum(scene.work)))
    index = np.arange(len(scene.work))
    until = np.minimum(index + window, len(scene.work))
    highest = (sums[until] - sums[index]) / (until - index)
    reach = 1
    while reach < scene.cold_s + 1:
        step = min(reach, scene.cold_s + 1 - reach)
        highest = np.maximum(highest, np.concatenate((highest[step:], np.zeros(step))))
        reach += step
    return np.ascontiguousarray(highest.reshape(-1, 1))


def run(scene: Scene, contender: Contender, generosity: float) -> Run:
    """Run one policy at one target, request by request."""
    arrivals = scene.arrivals
    outcome, told, spent = simulate(
        contender.kind,
        contender.target(generosity),
        scene.requests,
        scene.slots,
        scene.kv_tokens,
        contender.planned,
        arrivals.duration_s,
        scene.cold_s,
        scene.first,
        scene.failures_per_s,
        scene.seed,
        scene.wake_s if contender.is_sleeping else 0,
        scene.sleeping_cost,
    )
    first_token, finished = outcome[FIRST], outcome[FINISHED]
    wait = outcome[ADMITTED] - arrivals.at_s
    minutes = arrivals.duration_s // 60
    served = np.isfinite(finished)
    pace = (finished[served] - first_token[served]) / np.maximum(arrivals.decode_s[served] * scene.slots, 1e-9)
    return Run(
        target=contender.target(generosity),
        attainment=float((wait <= SLO_S).mean()),
        replica_s=spent,
        ttft_p99_s=float(np.percentile(np.minimum(first_token - arrivals.at_s, 1e6), 99)),
        tpot_p99_ratio=float(np.percentile(pace, 99)) if served.any() else 0.0,
        wait_p99_s=_percentile(np.minimum(wait, 3600.0), arrivals.at_s, minutes),
        replicas=told[: minutes * 60, 2].reshape(minutes, 60).mean(axis=1),
        load=scene.work[: minutes * 60].reshape(minutes, 60).mean(axis=1),
    )


def _percentile(wait: Floats, at: Floats, minutes: int) -> Floats:
    bounds = np.searchsorted(at, np.arange(minutes + 1) * 60.0)
    pairs = pairwise(bounds)
    return np.array([np.quantile(wait[a:b], 0.99) if b > a else 0.0 for a, b in pairs])


def cheapest(scene: Scene, variants: Sequence[Contender], attainments: Sequence[float]) -> list[Run | None]:
    """Return the cheapest run of a policy that attains the SLO, for each attainment; None where none does."""
    if len(scene.arrivals.at_s) * len(scene.work) <= _SMALL:
        tried = [one for each in variants for one in _everywhere(scene, each)]
    else:
        tried = []
        for attainment in attainments:
            drafts = [(draft, each) for each in variants if (draft := _draft(scene, each, attainment)) is not None]
            drafts.sort(key=lambda each: each[0][1])
            # The fluid draft may rank two metrics wrongly, so both are run; the clairvoyant's windows hardly differ.
            for (generosity, _), chosen in drafts[: 2 if len(variants) == 2 else 1]:
                tried += _bracketed(scene, chosen, generosity, attainment)
    return [
        min((one for one in tried if one.attainment >= wanted), key=lambda one: one.replica_s, default=None)
        for wanted in attainments
    ]


def _everywhere(scene: Scene, contender: Contender) -> list[Run]:
    """Run a grid of targets: for a short trace that is fast, and chance makes the fluid draft a poor guide."""
    count = 100
    step = (contender.most - contender.least) / (count - 1)
    return [run(scene, contender, contender.least + index * step) for index in range(count)]


def _bracketed(scene: Scene, contender: Contender, generosity: float, attainment: float) -> list[Run]:
    """Run targets around the fluid draft's until the attainment is between two that are close."""
    runs = [run(scene, contender, generosity)]
    low, high = -math.inf, math.inf
    step = 0.04 * contender.grain
    for _ in range(2 * _RUNS if contender.is_sleeping else _RUNS):
        if runs[-1].attainment >= attainment:
            high = generosity
        else:
            low = generosity
        if high - low < _CLOSE * contender.grain:
            break
        if math.isinf(high) or math.isinf(low):
            generosity += step if math.isinf(high) else -step
            step *= 2
        else:
            generosity = (low + high) / 2
        runs.append(run(scene, contender, generosity))
    return runs


def _draft(scene: Scene, contender: Contender, attainment: float) -> tuple[float, float] | None:
    """Return the generosity and replica-seconds of the cheapest fluid run that attains the SLO.

    The fluid pool knows no sleep: there the search begins with the surprise of a share of an eighth.
    """
    if contender.is_sleeping:
        return _UNDRAFTED, 0.0

    def tried(generosity: float) -> tuple[float, float]:
        return fluid(
            contender.kind,
            contender.target(generosity),
            scene.work,
            scene.counts,
            contender.planned,
            scene.cold_s,
            scene.full_s,
            scene.first,
        )

    step = (contender.most - contender.least) / (_GRID - 1)
    grid = [(contender.least + index * step) for index in range(_GRID)]
    results = [(generosity, *tried(generosity)) for generosity in grid]
    enough = [each for each in results if each[1] >= attainment]
    if not enough:
        return None
    high, _, spent = min(enough, key=lambda each: each[2])
    best = (high, spent)
    low = high - step
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        share, cost = tried(middle)
        if share < attainment:
            low = middle
            continue
        high = middle
        if cost < best[1]:
            best = (middle, cost)
    return best


def compare(
    scene: Scene, names: Sequence[str], attainments: Sequence[float], threads: int
) -> Mapping[float, Mapping[str, Run | None]]:
    """Return the cheapest run of each policy at each attainment."""
    known = contenders(scene)

    def one(name: str) -> list[Run | None]:
        return cheapest(scene, known[name], attainments)

    with ThreadPoolExecutor(max_workers=threads) as pool:
        results = dict(zip(names, pool.map(one, names), strict=True))
    return {each: {name: results[name][index] for name in names} for index, each in enumerate(attainments)}
