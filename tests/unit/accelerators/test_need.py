"""What a payload needs of a driver: from its recipe, and from what its wheels were built for."""

from __future__ import annotations

import pytest

from bundler.accelerators.need import Requirement, needs_of, requirements_of
from bundler.errors import ResolveError
from bundler.model.driver import DriverNeed

NOTES = "NVIDIA CUDA Toolkit Release Notes 13.1 and 13.2 (Linux x86_64)"


def cuda(version: str, **changes: object) -> Requirement:
    return Requirement(vendor="nvidia", what="cuda", version=version, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("what", "version", "minimum", "verified"),
    [
        ("cuda", "12.4", "550.54.14", True),
        ("cuda", "12.4.1", "550.54.14", True),
        ("cuda", "11.8", "520.61.05", True),
        ("cuda", "13.0", "580.65.06", True),
        ("cann", "8.5", "25.0.RC1", True),
        ("cann", "8.5.0", "25.0.RC1", True),
        ("cann", "9.1.0", "25.2.0", True),
        ("cann", "8.3.RC1", "24.1.0", False),
        ("cann", "8.2.rc1", "24.1.RC2", False),
        ("torch_npu", "2.9.0", "25.0.RC1", True),
        ("torch_npu", "2.7.1.post8", "25.2.0", True),
        ("torch_npu", "2.7.1", "24.1.0", False),
        ("cntoolkit", "3.7.2", "5.10.22", False),
        ("corex", "4.3.8", "4.3", False),
        ("driver", "1.2.3", "1.2.3", True),
    ],
)
def test_the_oldest_driver_is_looked_up(what: str, version: str, minimum: str, verified: bool) -> None:
    vendors = {"cuda": "nvidia", "cntoolkit": "cambricon", "corex": "iluvatar"}
    one = Requirement(vendor=vendors.get(what, "ascend"), what=what, version=version)
    (need,) = needs_of([one], [])
    assert (need.minimum, need.verified) == (minimum, verified)


def test_a_need_says_how_it_is_known() -> None:
    assert needs_of([cuda("12.4")], []) == (
        DriverNeed(vendor="nvidia", minimum="550.54.14", because=f"cuda 12.4 (the recipe), by {NOTES}"),
    )
    (need,) = needs_of([], requirements_of([("torch-npu", "2.9.0")]))
    assert need.because == ("torch_npu 2.9.0 (torch-npu 2.9.0) needs cann 8.5.0, by CANN 8.5.0 release notes")


def test_minor_version_compatibility_is_taken_where_the_recipe_says_so() -> None:
    (need,) = needs_of([cuda("12.4", minor=True)], [cuda("12.8", origin="torch 2.7.1+cu128")])
    assert (need.minimum, need.because) == (
        "525.60.13",
        f"cuda 12.4 (the recipe), by {NOTES}, with minor version compatibility",
    )
    (need,) = needs_of([cuda("12.0", minor=True)], [])
    assert need.minimum == "525.60.13"


def test_the_newest_driver_of_several_counts() -> None:
    derived = requirements_of([("torch", "2.6.0+cu124"), ("nvidia-cuda-runtime-cu12", "12.8.90")])
    (need,) = needs_of([cuda("11.8")], derived)
    assert (need.minimum, need.because) == (
        "570.26",
        f"cuda 12.8 (nvidia-cuda-runtime-cu12 12.8.90), by {NOTES}",
    )


@pytest.mark.parametrize(
    ("name", "version", "found"),
    [
        ("torch", "2.6.0+cu124", ("nvidia", "cuda", "12.4")),
        ("torch", "2.9.0+cu130", ("nvidia", "cuda", "13.0")),
        ("torch", "2.1.0+cu118", ("nvidia", "cuda", "11.8")),
        ("flash-attn", "2.7.4+torch2.6.cu124.abi1", ("nvidia", "cuda", "12.4")),
        ("nvidia-cuda-runtime-cu12", "12.4.127", ("nvidia", "cuda", "12.4")),
        ("nvidia-cuda-runtime", "13.0.48", ("nvidia", "cuda", "13.0")),
        ("torch-npu", "2.7.1.post2", ("ascend", "torch_npu", "2.7.1.post2")),
        ("torch", "2.6.0+cpu", None),
        ("torch", "2.6.0", None),
        ("nvidia-cuda-nvrtc-cu12", "12.4.127", None),
        ("cupid", "1.0+cute", None),
    ],
)
def test_wheels_tell_what_they_were_built_for(name: str, version: str, found: tuple[str, ...] | None) -> None:
    told = requirements_of([(name, version)])
    assert [(one.vendor, one.what, one.version) for one in told] == ([found] if found else [])


def test_a_version_that_the_tables_lack_is_refused_with_what_to_say() -> None:
    with pytest.raises(ResolveError) as refused:
        needs_of([], requirements_of([("torch", "3.0.0+cu145")]))
    assert str(refused.value) == (
        'accelerators.nvidia: no driver is known for cuda "14.5" (torch 3.0.0+cu145); the catalogue has 11.0, 11.1, '
        "11.2, 11.3, 11.4, 11.5, 11.6, 11.7, 11.8, 12.0, 12.1, 12.2, 12.3, 12.4, 12.5, 12.6, 12.8, 12.9, 13.0, 13.1, "
        "13.2"
    )
    assert refused.value.hint == (
        'say the oldest driver that it works with: accelerators: {nvidia: {driver: "VERSION"}}'
    )
    # A post release is not the release: it may need a newer CANN.
    with pytest.raises(ResolveError, match=r'no driver is known for torch_npu "2\.7\.1\.post99"'):
        needs_of([], requirements_of([("torch-npu", "2.7.1.post99")]))


def test_what_the_recipe_states_stands_for_wheels_that_nobody_knows() -> None:
    stated = [Requirement(vendor="nvidia", what="driver", version="610.1")]
    (need,) = needs_of(stated, requirements_of([("torch", "3.0.0+cu145")]))
    assert need == DriverNeed(vendor="nvidia", minimum="610.1", because="the recipe asks for it")
