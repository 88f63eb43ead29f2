"""Profiles, calibration and the cheapest mix."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bundler.autoscaler.size import Profile, calibrate, cheapest_mix, is_full, seeds
from bundler.errors import HostError


def test_five_cards_have_a_seed() -> None:
    assert sorted(seeds()) == ["ascend-910b", "cambricon-mlu370", "iluvatar-bi-v150", "nvidia-a100", "nvidia-h100"]


def test_a_card_that_is_half_as_fast_as_its_seed_is_learnt_while_full() -> None:
    profile = Profile(name="x", prefill_tok_s=1000, decode_tok_s=100)
    assert calibrate(profile, 100, 10, is_full=False) == profile
    for _ in range(30):
        profile = calibrate(profile, 250, 25, is_full=True)
    assert profile.measured == pytest.approx(0.5, rel=0.01)
    assert profile.demand(1000, 100) == pytest.approx(4, rel=0.01)
    assert calibrate(profile, 1000, 100, is_full=False).measured > profile.measured


def test_a_profile_must_be_positive() -> None:
    with pytest.raises(HostError) as caught:
        Profile(name="x", prefill_tok_s=0, decode_tok_s=1)
    assert str(caught.value) == "x.prefill_tok_s: expected a number above 0, got 0"


def test_full_means_a_queue_or_full_memory() -> None:
    assert [is_full(1, None), is_full(0, 0.95), is_full(0, 0.5), is_full(0, None)] == [True, True, False, False]


kinds = st.lists(st.tuples(st.floats(10, 100), st.floats(0.5, 5), st.integers(0, 4)), min_size=1, max_size=3).map(
    lambda rows: [
        (Profile(name=str(number), prefill_tok_s=1e9, decode_tok_s=speed, price=price), most)
        for number, (speed, price, most) in enumerate(rows)
    ]
)


@given(kinds, st.floats(1, 400))
def test_the_mix_is_the_cheapest_of_all(fleet: list[tuple[Profile, int]], load: float) -> None:
    def carries(counts: tuple[int, ...]) -> bool:
        share = sum(count / each.demand(0, load) for (each, _), count in zip(fleet, counts, strict=True))
        return share >= 1 - 1e-9

    def price(counts: tuple[int, ...]) -> float:
        return sum(count * each.price for (each, _), count in zip(fleet, counts, strict=True))

    every = itertools.product(*(range(most + 1) for _, most in fleet))
    best = min((price(counts) for counts in every if carries(counts)), default=None)
    found = cheapest_mix(0, load, fleet)
    assert (found is None) == (best is None)
    if found is not None:
        assert price(tuple(found[each.name] for each, _ in fleet)) == pytest.approx(best)
