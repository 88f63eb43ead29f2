"""Which driver a host gets, and what exactly is missing where it gets none."""

from __future__ import annotations

from dataclasses import replace

import pytest
from drivers import package

from bundler.accelerators.decide import Decision, Machine, decide
from bundler.model.driver import DriverNeed, DriverPackage

NEED = DriverNeed(vendor="nvidia", minimum="550.54.14", because="cuda 12.4 (the recipe), by a table")
HOST = Machine(
    devices=("20b2",),
    driver="",
    kernel="6.1.0-44-amd64",
    system=("debian", "12"),
    headers=True,
    tools=frozenset({"dkms", "gcc", "make"}),
    modules=frozenset(),
    secure_boot="off",
)
HINT = "name one that fits under drivers in the recipe, or install one by hand: NVIDIA-Linux-x86_64-VERSION.run"


def decided(
    *packages: DriverPackage, need: DriverNeed | None = NEED, host: Machine = HOST, **changes: object
) -> Decision | None:
    return decide("nvidia", replace(host, **changes), need, packages)  # type: ignore[arg-type]


def chosen(*packages: DriverPackage, need: DriverNeed | None = NEED, **changes: object) -> str | None:
    decision = decided(*packages, need=need, **changes)
    assert decision is not None
    assert decision.gap == ""
    return None if decision.chosen is None else packages[decision.chosen].version


def gap(*packages: DriverPackage, need: DriverNeed | None = NEED, **changes: object) -> tuple[str, str]:
    decision = decided(*packages, need=need, **changes)
    assert decision is not None
    assert decision.chosen is None
    return decision.gap, decision.hint


def test_a_host_without_a_card_is_left_alone() -> None:
    assert decided(package(), devices=()) is None


def test_a_driver_that_is_enough_is_left_alone() -> None:
    assert chosen(package(version="570.26"), driver="550.54.14") is None
    assert chosen(package(version="570.26"), driver="550.54.15") is None
    assert chosen(package(version="570.26"), driver="470.82.01", need=None) is None


def test_the_newest_that_fits_is_taken() -> None:
    versions = ("550.54.14", "570.124.06", "570.26", "535.54.03")
    packages = [package(version=version) for version in versions]
    assert chosen(*packages) == "570.124.06"
    assert chosen(*packages, driver="535.54.03") == "570.124.06"
    assert chosen(*packages, need=None) == "570.124.06"
    narrow = [replace(one, kernels="<6.1") if one.version == "570.124.06" else one for one in packages]
    assert chosen(*narrow) == "570.26"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            [],
            "there is no driver, the payload needs 550.54.14 or newer: cuda 12.4 (the recipe), by a table; "
            "no driver is given for it",
        ),
        ([{"version": "535.54.03"}], "535.54.03 is older than 550.54.14"),
        ([{"kernels": ">=5.4,<6.0"}], "570.124.06 is for kernels >=5.4,<6.0, the host has 6.1.0-44-amd64"),
        ([{"cards": ("2330", "1234")}], "570.124.06 is for H100 SXM5 80GB, 10de:1234, the host has A100 SXM4 80GB"),
        ([{"systems": ("ubuntu-22.04", "kylin")}], "570.124.06 is for ubuntu-22.04, kylin, the host is debian-12"),
        (
            [{"version": "535.54.03"}, {"kernels": "<6"}],
            "535.54.03 is older than 550.54.14; 570.124.06 is for kernels <6, the host has 6.1.0-44-amd64",
        ),
    ],
)
def test_why_none_fits_is_told_of_each(given: list[dict[str, object]], told: str) -> None:
    said, hint = gap(*(package(**one) for one in given))  # type: ignore[arg-type]
    needs = "there is no driver, the payload needs 550.54.14 or newer: cuda 12.4 (the recipe), by a table; "
    assert said == (told if not given else f"{needs}of the drivers given, {told}")
    assert hint == HINT


def test_a_driver_that_is_too_old_is_told_with_both_versions() -> None:
    assert gap(driver="535.54.03") == (
        "driver 535.54.03 is too old, the payload needs 550.54.14 or newer: cuda 12.4 (the recipe), by a table; "
        "no driver is given for it",
        HINT,
    )
    assert gap(need=replace(NEED, verified=False))[0].endswith(
        "by a table; not confirmed by the vendor; no driver is given for it"
    )


@pytest.mark.parametrize(
    ("host", "more", "told", "hint"),
    [
        (
            {"headers": False, "tools": frozenset({"make"})},
            {},
            "the host lacks the headers of kernel 6.1.0-44-amd64, dkms, gcc",
            "bring them as packages of the host, such as linux-headers-6.1.0-44-amd64 under debs, "
            "or install them there",
        ),
        (
            {"modules": frozenset({"nouveau", "ext4"})},
            {"conflicts": ("nouveau",)},
            "the module nouveau is loaded, which holds the card",
            "forbid it in /etc/modprobe.d (blacklist nouveau), make the initial RAM disk anew, and reboot",
        ),
        (
            {"secure_boot": "on"},
            {},
            "secure boot is on and refuses modules that nobody signed",
            'sign its modules with a key that the host has enrolled and say "signed: true", or turn secure boot off',
        ),
    ],
)
def test_what_keeps_a_package_from_being_installed(
    host: dict[str, object], more: dict[str, object], told: str, hint: str
) -> None:
    given = package(headers=True, tools=("dkms", "gcc", "make"), **more)
    assert gap(given, **host) == (f"driver 570.124.06 cannot be installed: {told}", hint)
    assert chosen(package(), headers=False, tools=frozenset()) == "570.124.06", "one that builds nothing needs nothing"
    assert chosen(package(signed=True), secure_boot="on") == "570.124.06"


def test_what_is_not_known_is_named_and_no_gap() -> None:
    unknown = Machine(devices=("20b2",), driver=None, kernel=None, system=None)
    given = package(headers=True, tools=("gcc",), kernels=">=5", systems=("debian",))
    assert decided(given, host=unknown) == Decision(
        vendor="nvidia",
        has=None,
        need=NEED,
        chosen=0,
        unknown=("headers of its kernel", "gcc", "its kernel", "its system", "secure boot"),
    )
    assert decided(host=unknown) == Decision(vendor="nvidia", has=None, need=NEED, unknown=("its driver",))
    assert decided(given, devices=None) == Decision(vendor="nvidia", has="", need=NEED, unknown=("its cards",))


def test_a_card_of_which_nothing_is_asked_needs_no_driver() -> None:
    assert decided(need=None) == Decision(vendor="nvidia", has="", need=None)
