"""The opponents' arithmetic against the examples of their documentation."""

from __future__ import annotations

import numpy as np
import pytest

from bundler.autoscaler.simulator.opponents import (
    MEMORY,
    apa,
    dynamo,
    hpa_average,
    hpa_behaviour,
    hpa_utilisation,
    kpa,
)


def memory() -> np.ndarray:
    return np.zeros(MEMORY)


def test_hpa_doubles_and_halves_as_its_documentation_says() -> None:
    # "if the current metric value is 200m, and the desired value is 100m, the number of replicas will be doubled, since
    # 200.0 / 100.0 == 2.0. If the current value is instead 50m, you'll halve the number of replicas."
    assert hpa_average(0.1, 0.2 * 3, 3) == 6
    assert hpa_average(0.1, 0.05 * 4, 4) == 2
    assert hpa_average(0.1, 0.109 * 10, 10) == 10
    assert hpa_utilisation(0.5, 4.0, 4, 4) == 8
    assert hpa_utilisation(0.5, 1.0, 4, 4) == 2


@pytest.mark.parametrize(("ready", "total", "busy", "wanted"), [(4, 8, 4.0, 8), (4, 8, 2.0, 8), (4, 5, 4.0, 8)])
def test_hpa_counts_pods_that_are_not_ready_as_idle(ready: int, total: int, busy: float, wanted: int) -> None:
    assert hpa_utilisation(0.5, busy, ready, total) == wanted


def test_hpa_doubles_or_adds_four_in_15_s_and_holds_the_highest_of_300_s() -> None:
    kept = memory()
    assert hpa_behaviour(50, 10, kept, 0) == 20
    assert hpa_behaviour(50, 1, kept, 15) == 5
    assert hpa_behaviour(3, 20, kept, 30) == 20
    for now in range(45, 315, 15):
        assert hpa_behaviour(3, 20, kept, now) == 20
    assert hpa_behaviour(3, 20, kept, 315) == 3


def test_kpa_panics_at_twice_what_is_ready_and_then_only_grows() -> None:
    kept = memory()
    assert kpa(10.0, 100.0, 100.0, 10, kept, 0) == 10
    assert kpa(10.0, 100.0, 199.0, 10, kept, 2) == 20
    assert kpa(10.0, 30.0, 30.0, 10, kept, 4) == 20
    assert kpa(10.0, 30.0, 30.0, 20, kept, 64) == 10
    assert kpa(10.0, 30.0, 30.0, 4, kept, 66) == 3


def test_apa_has_two_tolerances_and_two_rates() -> None:
    assert apa(0.5, 0.55, 10, 10) == 10
    assert apa(0.5, 0.6, 10, 10) == 12
    assert apa(0.5, 5.0, 10, 10) == 20
    assert apa(0.5, 0.41, 10, 10) == 10
    assert apa(0.5, 0.3, 10, 10) == 6
    assert apa(0.5, 0.01, 10, 10) == 5


def test_dynamo_takes_the_last_interval_or_fits_its_changes() -> None:
    growing = np.concatenate(([0.0], np.cumsum(np.repeat(np.arange(1.0, 21.0), 180))))
    assert dynamo(1.0, growing, 20 * 180, False) == 20
    assert dynamo(1.0, growing, 20 * 180, True) == 21
    assert dynamo(0.5, growing, 20 * 180, False) == 40
