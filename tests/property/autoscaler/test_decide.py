"""What holds of every decision, whatever is observed."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.autoscaler.decide import decide
from bundler.autoscaler.log import format_entry, read_log, replay
from bundler.autoscaler.model import Forecast, Limits, Observation
from bundler.autoscaler.rule import HOLD_TICKS
from bundler.errors import IntegrityError

# The first call compiles the rules, or loads what is compiled.
unhurried = settings(deadline=None)

loads = st.floats(0, 500)
counts = st.integers(0, 200)


@st.composite
def limits(draw: st.DrawFn) -> Limits:
    minimum = draw(st.integers(0, 50))
    return Limits(
        minimum=minimum,
        maximum=minimum + draw(st.integers(0, 150)),
        caution=draw(st.floats(0, 2)),
        cold_s=draw(st.floats(1, 600)),
    )


observations = st.builds(
    Observation,
    at_s=st.just(0.0),
    ready=counts,
    starting=counts,
    draining=counts,
    sleeping=counts,
    load=st.none() | loads,
    queue=st.none() | st.floats(0, 10_000),
    busy=st.none() | loads,
    occupied=st.none() | loads,
    kv_use=st.none() | st.floats(0, 1),
)
forecasts = st.builds(Forecast, expected=loads, unsure=st.floats(0.6, 1.6), is_learnt=st.booleans())
needs = st.lists(st.integers(0, 200), max_size=HOLD_TICKS).map(tuple)


@unhurried
@given(observations, forecasts, limits(), needs)
def test_bounds_hold_and_the_steps_add_up(
    seen: Observation, forecast: Forecast, allowed: Limits, before: tuple[int, ...]
) -> None:
    decision = decide(seen, forecast, allowed, before)
    assert allowed.minimum <= decision.replicas <= allowed.maximum
    total = seen.ready + seen.starting
    up, down = decision.undrain + decision.wake + decision.start, decision.cancel + decision.drain
    assert total + up - down == decision.replicas
    assert min(up, down) == 0
    assert decision.drain <= seen.ready
    assert decision.undrain <= seen.draining
    assert decision.wake <= seen.sleeping
    assert len(decision.needs) <= HOLD_TICKS
    assert decision == decide(seen, forecast, allowed, before)


@unhurried
@given(observations, forecasts, limits(), needs, st.floats(1, 3))
def test_more_load_never_means_fewer_replicas(
    seen: Observation, forecast: Forecast, allowed: Limits, before: tuple[int, ...], factor: float
) -> None:
    more = replace(seen, load=None if seen.load is None else seen.load * factor)
    higher = replace(forecast, expected=forecast.expected * factor)
    assert decide(more, higher, allowed, before).replicas >= decide(seen, forecast, allowed, before).replicas


@unhurried
@given(observations, forecasts, limits(), needs)
def test_lost_telemetry_holds(seen: Observation, forecast: Forecast, allowed: Limits, before: tuple[int, ...]) -> None:
    lost = replace(seen, load=None)
    decision = decide(lost, forecast, allowed, before)
    assert decision.replicas == max(allowed.minimum, min(allowed.maximum, seen.ready + seen.starting))
    assert decision.reason == f"no telemetry: {decision.replicas} replicas are held"
    assert decision.needs == before


@unhurried
@given(observations, forecasts, limits(), needs)
def test_a_freeze_changes_nothing(
    seen: Observation, forecast: Forecast, allowed: Limits, before: tuple[int, ...]
) -> None:
    decision = decide(seen, forecast, replace(allowed, is_frozen=True), before)
    assert decision.start + decision.wake + decision.undrain + decision.cancel + decision.drain == 0
    assert decision.replicas == seen.ready + seen.starting


@unhurried
@given(st.floats(1, 100), st.lists(st.floats(-0.04, 0.04), min_size=40, max_size=80), st.booleans())
def test_small_changes_do_not_flap(load: float, changes: list[float], is_learnt: bool) -> None:
    allowed, total, before, history = Limits(maximum=1000), 1, (), []
    for change in changes:
        now = load * (1 + change)
        seen = Observation(at_s=0.0, ready=total, load=now, queue=0.0)
        decision = decide(seen, Forecast(expected=now, is_learnt=is_learnt), allowed, before)
        total, before = decision.replicas, decision.needs
        history.append(total)
    falls = sum(later < earlier for earlier, later in pairwise(history))
    assert falls <= len(changes) / HOLD_TICKS + 2


@unhurried
@given(observations, forecasts, limits(), needs)
def test_a_logged_decision_comes_out_the_same_again(
    tmp_path_factory: pytest.TempPathFactory,
    seen: Observation,
    forecast: Forecast,
    allowed: Limits,
    before: tuple[int, ...],
) -> None:
    path = Path(tmp_path_factory.getbasetemp()) / "decisions.jsonl"
    decision = decide(seen, forecast, allowed, before)
    line = format_entry(seen, forecast, allowed, before, decision)
    path.write_text(line)
    assert [replay(entry, decide) for entry in read_log(path)] == [decision]
    path.write_text(json.dumps(json.loads(line) | {"replicas": decision.replicas + 1}))
    with pytest.raises(IntegrityError) as caught:
        [replay(entry, decide) for entry in read_log(path)]
    assert str(caught.value) == (
        f"{path}:1: expected {decision.replicas + 1} replicas as logged, got {decision.replicas}"
    )
