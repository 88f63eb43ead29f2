"""Daemons of new packages are masked before they are there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hosts import Host
from packages import make_deb

from bundler.installer.masks import mask, read_masks, units_of, unmask

UNITS = ("daemon.service", "daemon.socket", "old.service", "once.timer", "side@.service")


@pytest.fixture
def deb(tmp_path: Path) -> Path:
    """A package with units in both places, a script of init, and what is no unit of the system."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    files = (
        "lib/systemd/system/daemon.service",
        "lib/systemd/system/side@.service",
        "usr/lib/systemd/system/daemon.socket",
        "usr/lib/systemd/system/once.timer",
        "usr/lib/systemd/system/whole.target",
        "usr/lib/systemd/system/daemon.service.d/more.conf",
        "usr/lib/systemd/user/mine.service",
        "usr/share/doc/lib/systemd/system/example.service",
        "etc/init.d/old",
        "etc/default/daemon",
    )
    return make_deb(tmp_path, "daemon", "1.0", files=files)[1]


def links(host: Host) -> dict[str, str]:
    return {path.name: str(path.readlink()) for path in host.layout.units.iterdir() if path.is_symlink()}


def test_the_units_of_a_package_are_those_that_systemd_starts(deb: Path, tmp_path: Path) -> None:
    assert units_of(deb) == UNITS
    assert units_of(make_deb(tmp_path, "plain", "1.0")[1]) == ()


def test_packages_without_sums_are_looked_into(tmp_path: Path) -> None:
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb")
    files = ("lib/systemd/system/daemon.service", "etc/init.d/old", "usr/share/lib/systemd/system/no.service")
    assert units_of(make_deb(tmp_path, "daemon", "1.0", files=files, sums=False)[1]) == (
        "daemon.service",
        "old.service",
    )


def test_units_are_masked_until_their_package_is_gone(host: Host, deb: Path) -> None:
    host.layout.state.mkdir(parents=True)
    before = host.listing()
    mask(host.layout, {"daemon": deb})
    assert links(host) == dict.fromkeys(UNITS, "/dev/null")
    assert read_masks(host.layout) == dict.fromkeys(UNITS, "daemon")
    unmask(host.layout, frozenset({"daemon"}))
    assert links(host) == dict.fromkeys(UNITS, "/dev/null")
    unmask(host.layout, frozenset())
    assert host.listing() == before


def test_what_the_administrator_has_put_there_stays(host: Host, deb: Path) -> None:
    host.layout.state.mkdir(parents=True)
    (host.layout.units / "daemon.service").write_text("[Service]\n")
    (host.layout.units / "once.timer").symlink_to("/dev/null")
    mask(host.layout, {"daemon": deb})
    assert sorted(read_masks(host.layout)) == ["daemon.socket", "old.service", "side@.service"]
    (host.layout.units / "old.service").unlink()
    (host.layout.units / "old.service").write_text("[Service]\n")
    unmask(host.layout, frozenset())
    assert sorted(path.name for path in host.layout.units.iterdir()) == ["daemon.service", "old.service", "once.timer"]


def test_masks_that_a_power_cut_left_out_are_made_up_for(host: Host, deb: Path) -> None:
    host.layout.state.mkdir(parents=True)
    mask(host.layout, {"daemon": deb})
    (host.layout.units / "daemon.service").unlink()
    mask(host.layout, {"daemon": deb})
    assert links(host) == dict.fromkeys(UNITS, "/dev/null")


def test_what_an_operator_unmasked_stays_so_when_other_packages_come(host: Host, deb: Path, tmp_path: Path) -> None:
    host.layout.state.mkdir(parents=True)
    mask(host.layout, {"daemon": deb})
    (host.layout.units / "daemon.service").unlink()
    other = make_deb(tmp_path, "other", "1.0", files=["lib/systemd/system/other.service"])[1]
    mask(host.layout, {"other": other})
    assert sorted(links(host)) == ["daemon.socket", "old.service", "once.timer", "other.service", "side@.service"]
