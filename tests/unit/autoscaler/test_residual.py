"""Residuals: quantiles draw near those of what came, never fall with surprise, and start from what is assumed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.autoscaler.residual import BINS, SURPRISES, at_surprise, begin, quantiles, remember
from bundler.autoscaler.rule import reserve, spare_surprise


def told(came: np.ndarray, unsure: float = 1.0) -> np.ndarray:
    shares, row = np.zeros(BINS), np.zeros(SURPRISES)
    begin(shares)
    for one in came:
        remember(shares, one)
    quantiles(shares, unsure, row, 0)
    return row


def test_before_anything_is_known_residuals_are_exponential_with_a_mean_of_a_tenth() -> None:
    row = told(np.zeros(0))
    assert row[1:6] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5], abs=0.02)
    assert row[0] == pytest.approx(0.1 * math.log(2), abs=0.02)


def test_quantiles_draw_near_those_of_what_came() -> None:
    came = np.random.default_rng(5).normal(0.1, 0.2, size=40_000)
    row = told(came)
    for surprise in (0, 1, 2, 3, 4, 5):
        share = min(0.5, math.exp(-surprise))
        assert row[surprise] == pytest.approx(np.quantile(came, 1 - share), abs=0.05)
    assert told(came, 2.0) == pytest.approx(2 * row)


@settings(deadline=None)
@given(st.lists(st.floats(-3, 5), max_size=60), st.floats(-3, 14), st.floats(0, 5))
def test_more_surprise_never_means_less_headroom(came: list[float], surprise: float, more: float) -> None:
    row = told(np.array(came))
    assert at_surprise(row, 0, surprise + more) >= at_surprise(row, 0, surprise) - 1e-9


@settings(deadline=None)
@given(st.integers(0, 200), st.floats(0, 500), st.floats(0, 3), st.floats(0, 2), st.floats(1, 3))
def test_the_reserve_holds_what_is_awake_and_grows_with_load_and_headroom(
    need: int, expected: float, headroom: float, more: float, factor: float
) -> None:
    before = reserve(need, expected, headroom)
    assert before >= max(1, need)
    assert reserve(need, expected * factor, headroom + more) >= before


def test_what_a_sleeper_is_cheaper_and_a_start_longer_makes_the_reserve_surer() -> None:
    assert spare_surprise(120, 10, 0.1) == pytest.approx(math.log(120))
    assert spare_surprise(120, 10, 1.0) == pytest.approx(math.log(12))
    assert spare_surprise(5, 10, 1.0) == 0.0
