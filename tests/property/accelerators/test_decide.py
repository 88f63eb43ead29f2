"""Versions order totally; the newest driver that fits is chosen, never one that does not."""

from __future__ import annotations

import string

from drivers import package
from hypothesis import given
from hypothesis import strategies as st

from bundler.accelerators.decide import Machine, decide, why_not
from bundler.accelerators.parsers import PARSERS, parse
from bundler.model.driver import DriverNeed, DriverPackage, kernel_fits, version_key

numbers = st.lists(st.integers(min_value=0, max_value=700), min_size=1, max_size=4)
dotted = numbers.map(lambda parts: ".".join(map(str, parts)))
versions = st.builds(lambda base, rc: base + (f".rc{rc}" if rc else ""), dotted, st.integers(min_value=0, max_value=4))
kernels = st.lists(st.integers(min_value=0, max_value=9), min_size=1, max_size=3).map(lambda p: ".".join(map(str, p)))
signs = st.sampled_from([">=", "<=", ">", "<", "=="])
bounds = st.builds("{}{}".format, signs, kernels)
ranges = st.lists(bounds, max_size=2).map(",".join)
packages = st.lists(
    st.builds(
        package,
        version=versions,
        kernels=ranges,
        cards=st.sampled_from([(), ("20b2",), ("2330",), ("20b2", "2330")]),
        systems=st.sampled_from([(), ("debian",), ("ubuntu-22.04",), ("debian-12", "kylin")]),
    ),
    max_size=5,
)
needs = st.none() | st.builds(DriverNeed, vendor=st.just("nvidia"), minimum=versions, because=st.just("x"))
hosts = st.builds(
    Machine,
    devices=st.sampled_from([("20b2",), ("2330",), ("20b2", "2330")]),
    driver=st.just("") | versions,
    kernel=kernels.map(lambda text: f"{text}-1-generic"),
    system=st.sampled_from([("debian", "12"), ("ubuntu", "22.04"), ("kylin", "V10")]),
    headers=st.just(True),
    tools=st.just(frozenset[str]()),
    secure_boot=st.just("off"),
)


@given(numbers, numbers)
def test_plain_versions_order_as_their_numbers(left: list[int], right: list[int]) -> None:
    one, two = (".".join(map(str, parts)) for parts in (left, right))
    assert (version_key(one) < version_key(two)) == (left < right)
    assert (version_key(one) == version_key(f"v{two}")) == (left == right)


@given(dotted, st.integers(min_value=1, max_value=99), st.integers(min_value=1, max_value=99))
def test_candidates_come_before_their_release_in_their_order(base: str, first: int, second: int) -> None:
    assert version_key(f"{base}.rc{first}") < version_key(base)
    assert (version_key(f"{base}.RC{first}") < version_key(f"{base}.rc{second}")) == (first < second)
    assert version_key(f"{base}.rc{first}") < version_key(f"{base}.rc{first}.1")


@given(kernels, kernels)
def test_bounds_of_kernels_exclude_each_other(kernel: str, bound: str) -> None:
    host = f"{kernel}-44-amd64"
    assert kernel_fits(host, f">={bound}") != kernel_fits(host, f"<{bound}")
    assert kernel_fits(host, f"<={bound}") != kernel_fits(host, f">{bound}")
    assert kernel_fits(host, f"=={bound}") == kernel_fits(host, f">={bound},<={bound}")
    assert kernel_fits(host, "")


@given(hosts, needs, packages)
def test_the_newest_that_fits_is_chosen_or_the_gap_is_told(
    host: Machine, need: DriverNeed | None, given_packages: list[DriverPackage]
) -> None:
    decision = decide("nvidia", host, need, given_packages)
    assert decision is not None
    enough = host.driver and (need is None or version_key(host.driver) >= version_key(need.minimum))
    fitting = [one for one in given_packages if why_not(one, host, need) is None]
    for one in fitting:
        assert kernel_fits(host.kernel or "", one.kernels)
        assert not one.cards or set(host.devices or ()) <= set(one.cards)
        assert need is None or version_key(one.version) >= version_key(need.minimum)
    if enough:
        assert (decision.chosen, decision.gap) == (None, "")
    elif fitting:
        assert decision.chosen is not None
        best = given_packages[decision.chosen]
        assert best in fitting
        assert version_key(best.version) == max(version_key(one.version) for one in fitting)
    else:
        assert decision.chosen is None
        assert bool(decision.gap) == (need is not None or bool(given_packages))


@given(st.sampled_from(sorted(PARSERS)), st.text(alphabet=string.printable + "\0é驱"))
def test_parsers_never_fail(parser: str, text: str) -> None:
    parse(parser, text)
