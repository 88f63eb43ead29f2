"""The pool against closed forms: nothing is lost, Little's law, M/D/1 and M/M/1-PS waiting times."""

from __future__ import annotations

import numpy as np
import pytest

from bundler.autoscaler.simulator import opponents
from bundler.autoscaler.simulator.fluid import fluid
from bundler.autoscaler.simulator.policy import drowsy
from bundler.autoscaler.simulator.pool import rest, simulate
from bundler.autoscaler.simulator.replica import (
    ADMITTED,
    COUNT,
    DRAINING,
    FINISHED,
    FIRST,
    FREE,
    READY,
    SLEEPING,
    STARTING,
    STATE,
    WAKING,
)
from bundler.autoscaler.simulator.trace import Floats

NOTHING = np.zeros((1, 5))


def served(
    at: Floats, prefill: Floats, decode: Floats, *, slots: int, replicas: int, kv: float = 0.0, failures: float = 0.0
) -> tuple[Floats, Floats, Floats, Floats, float]:
    """Serve requests with a constant number of replicas."""
    seconds, requests = int(at[-1]) + 4000, np.stack((at, prefill, decode, prefill + decode))
    outcome, told, spent = simulate(
        opponents.STATIC, 1.0, requests, slots, kv, NOTHING, seconds, 60, replicas, failures, 1, 0, 1.0
    )
    return outcome[ADMITTED], outcome[FIRST], outcome[FINISHED], told, spent


def poisson(rate: float, count: int) -> Floats:
    return np.cumsum(np.random.default_rng(3).exponential(1 / rate, size=count))


def test_one_slot_is_a_queue_with_constant_service_times() -> None:
    # M/D/1: a mean wait of rho * S / (2 * (1 - rho)).
    at = poisson(0.7, 60_000)
    admitted, _, finished, told, _ = served(at, np.zeros(len(at)), np.ones(len(at)), slots=1, replicas=1)
    assert (admitted - at).mean() == pytest.approx(0.7 / (2 * 0.3), rel=0.06)
    assert (finished - admitted) == pytest.approx(np.ones(len(at)), abs=1e-6)
    assert told[:, 5].sum() == pytest.approx(len(at), rel=1e-6)


def test_littles_law_and_all_work_done() -> None:
    at = poisson(3.0, 20_000)
    prefill, decode = np.full(len(at), 0.05), np.random.default_rng(1).exponential(0.9, size=len(at))
    admitted, first_token, finished, told, _ = served(at, prefill, decode, slots=8, replicas=4)
    assert np.isfinite(finished).all()
    assert (at <= admitted).all()
    assert (admitted + prefill <= first_token + 1e-9).all()
    assert (first_token <= finished + 1e-6).all()
    assert told[:, 5].sum() == pytest.approx(float((prefill + decode).sum()), rel=1e-6)
    inside = told[: int(at[-1]), 4].mean() * 8
    assert inside == pytest.approx(float((finished - at).mean()) * len(at) / at[-1], rel=0.02)


def test_a_full_batch_takes_twice_as_long_a_step_as_an_empty_one() -> None:
    alone = served(np.array([0.0, 500.0]), np.zeros(2), np.full(2, 3.0), slots=4, replicas=1)
    assert alone[2][0] == pytest.approx(3 * 5 / 2)
    full = served(np.zeros(4), np.zeros(4), np.full(4, 3.0), slots=4, replicas=1)
    assert full[2] == pytest.approx(np.full(4, 12.0))


def test_prompts_are_read_one_after_the_other_and_stall_decoding() -> None:
    first = served(np.array([0.0, 1.0]), np.array([0.0, 5.0]), np.array([2.0, 2.0]), slots=4, replicas=1)
    assert first[1] == pytest.approx([0.0, 6.0])
    # The first had decoded 1 s alone at 2/5 before the prompt, then both at 2/6.
    assert first[2][0] == pytest.approx(6 + (2 - 2 / 5) * 3)


def test_kv_memory_bounds_what_runs() -> None:
    at, none = np.zeros(6), np.zeros(6)
    admitted, *_ = served(at, none, np.full(6, 1.0), slots=6, replicas=1, kv=2.5)
    assert sorted(np.round(admitted, 6))[:3] == [0.0, 0.0, pytest.approx(4.0, abs=0.1)]


def test_requests_of_failed_replicas_come_again() -> None:
    at = poisson(1.0, 3000)
    _, _, finished, _, _ = served(at, np.zeros(3000), np.ones(3000), slots=4, replicas=3, failures=0.001)
    assert np.isfinite(finished).all()


@pytest.mark.parametrize("target", [0.6, 0.8])
def test_the_fluid_pool_draws_near_the_requests(target: float) -> None:
    at = np.concatenate([2000 * part + np.arange(0, 2000, 1 / rate) for part, rate in enumerate((65, 100, 65, 90, 80))])
    decode = np.full(len(at), 0.3)
    work = np.bincount(at.astype(int), decode)
    counts = np.bincount(at.astype(int)).astype(float)
    kind, full_s = opponents.HPA_UTILISATION, 40 * 0.3
    share, spent = fluid(kind, target, work, counts, NOTHING, 60, full_s, 60)
    requests = np.stack((at, np.zeros(len(at)), decode, decode))
    outcome, _, exact = simulate(kind, target, requests, 40, 0.0, NOTHING, len(work), 60, 60, 0.0, 1, 0, 1.0)
    assert spent == pytest.approx(exact, rel=0.07)
    assert share == pytest.approx(float((outcome[ADMITTED] - at <= 2).mean()), abs=0.03)


def pool_of(*states: int, running: float = 0.0) -> Floats:
    pool = np.zeros((len(states), 8))
    pool[:, STATE] = states
    pool[pool[:, STATE] == READY, COUNT] = running
    return pool


def test_what_drains_comes_back_before_sleepers_wake_and_only_then_others_start() -> None:
    pool = pool_of(READY, DRAINING, SLEEPING, SLEEPING, FREE)
    rest(pool, 3, 5, 100, 10, 120)
    assert pool[:, STATE].tolist() == [READY, READY, WAKING, SLEEPING, STARTING]
    assert pool[2, 1] == 110
    assert pool[4, 1] == 220


def test_down_the_emptiest_sleep_one_stays_and_the_reserve_gives_up_starts_first() -> None:
    pool = pool_of(READY, READY, STARTING, SLEEPING, running=2.0)
    pool[1, COUNT] = 0
    rest(pool, 0, 3, 100, 10, 120)
    assert pool[:, STATE].tolist() == [READY, SLEEPING, FREE, SLEEPING]
    rest(pool, 1, 2, 115, 10, 120)
    assert sorted(pool[:, STATE].tolist()) == [FREE, FREE, SLEEPING, READY]


def test_sleepers_cost_their_share_and_lose_no_request() -> None:
    rates = (2.0, 8.0, 2.0, 8.0, 2.0)
    at = np.concatenate([1800 * part + np.arange(0, 1800, 1 / rate) for part, rate in enumerate(rates)])
    decode = np.full(len(at), 1.0)
    seconds = 1800 * len(rates) + 600
    loads = np.bincount(at.astype(int) // 15, decode, minlength=seconds // 15) / 15
    planned = drowsy(loads, cold_s=300, wake_s=10, sleeping_cost=0.1)
    requests = np.stack((at, np.zeros(len(at)), decode, decode))
    outcome, told, spent = simulate(
        opponents.FERRY_SLEEPING, 2.0, requests, 8, 0.0, planned, seconds, 300, 14, 0.0, 1, 10, 0.1
    )
    assert np.isfinite(outcome[FINISHED]).all()
    assert told[:, 6].max() > 0
    assert (told[:, 2] + told[:, 6]).max() <= 14 + 1
    assert spent == pytest.approx(told[:, 2].sum() + 0.1 * told[:, 6].sum())
