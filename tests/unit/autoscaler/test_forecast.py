"""The forecast: it learns a day that repeats, is naive where nothing repeats, and needs neither numpy nor numba."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from bundler.autoscaler.simulator.policy import foresee

PLAIN = """
import sys
sys.modules["numba"] = sys.modules["numpy"] = None
from bundler.autoscaler.decide import decide
from bundler.autoscaler.forecast import FEATURES, STATE, step
from bundler.autoscaler.rule import floor
loads = [10 + 3 * ((i * 7919) % 97) / 97 for i in range(900)]
n = len(loads)
rows = [0.0] * (n * FEATURES)
spread = [float(i % (FEATURES + 1) == 0) for i in range(FEATURES * FEATURES)]
levels, rises, errors, state, weights = [0.0] * n, [0.0] * n, [0.0] * n, [0.0] * STATE, [0.0] * FEATURES
for now in range(n):
    told = step(loads, levels, rises, errors, rows, weights, spread, state, now, 10, [0.0] * FEATURES)
print(repr(told[0]), repr(told[1]), floor(told[0], told[1], 0.3))
"""


def test_the_service_computes_the_same_without_numpy_and_numba() -> None:
    done = subprocess.run([sys.executable, "-c", PLAIN], capture_output=True, text=True, check=True)
    expected, unsure, _ = (float(word) for word in done.stdout.split())
    told = foresee(np.array([10 + 3 * ((i * 7919) % 97) / 97 for i in range(900)]), 10)
    assert (told[-1, 0], told[-1, 1]) == pytest.approx((expected, unsure), rel=1e-9)


def test_a_day_that_repeats_is_learnt() -> None:
    day = 5760
    loads = np.array([20 * (1.2 + math.sin(2 * math.pi * tick / day)) for tick in range(4 * day)])
    told = foresee(loads, 20)
    rows = slice(3 * day, 4 * day - 20)
    came = np.maximum.reduce([loads[3 * day + ahead : 4 * day - 20 + ahead] for ahead in range(1, 21)])
    assert np.abs(told[rows, 0] / came - 1).max() < 0.03
    assert told[rows, 4].min() > 0.9


def test_nothing_is_trusted_where_nothing_repeats() -> None:
    loads = 20 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, size=8000)))
    told = foresee(loads, 20)
    assert told[2000:, 4].max() < 0.5
    assert 0.6 <= told[:, 1].min() <= told[:, 1].max() <= 1.6
