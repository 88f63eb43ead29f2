"""The probe on real isolated machines: no Python, no network, another shell and C library than here."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from machine import Machine

from bundler.load import read_recipe, read_target
from bundler.target.fit import check_recipe
from bundler.target.probe import probe_script
from bundler.target.short import format_short, parse_short
from bundler.target.stock import stock_target

pytestmark = pytest.mark.e2e
RECIPES = Path(__file__).resolve().parents[2] / "recipes"
SUITES = {"bookworm": ("12", "2.36", "252"), "bullseye": ("11", "2.31", "247"), "trixie": ("13", "2.41", "257")}
STOCK = {"bookworm": "debian-12/amd64", "trixie": "debian-13/amd64"}


@pytest.fixture(scope="module", params=sorted(SUITES))
def machine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    if reason := Machine.reason_unavailable():
        pytest.skip(reason)
    with Machine.create(request.param, tmp_path_factory.mktemp("probe") / "root") as machine:
        machine.boot()
        machine.run(["sh", "-c", "cat >/root/probe.sh"], input=probe_script().decode())
        yield machine


@pytest.mark.parametrize("who", [[], ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]])
def test_a_machine_says_what_it_is(machine: Machine, tmp_path: Path, who: list[str]) -> None:
    machine.run(["cp", "/root/probe.sh", "/tmp/probe.sh"])
    done = machine.run([*who, "sh", "/tmp/probe.sh"])
    assert done.stderr == ""
    path = tmp_path / "target.yaml"
    path.write_text(done.stdout)
    target = read_target(path)
    version, glibc, systemd = SUITES[machine.suite]
    assert (target.os.id, target.os.version, target.os.codename) == ("debian", version, machine.suite)
    assert (target.glibc, target.init.name, target.python) == (glibc, "systemd", "none")
    assert (target.init.version or "").startswith(systemd)
    assert (target.package_manager, target.runtimes) == ("apt", ())
    assert {"bash", "dpkg", "libc6", "systemd"} <= {package.name for package in target.packages or ()}
    assert min(target.free_bytes(place) or 0 for place in ("/", "/var/lib", "/opt")) > 0
    installed = machine.run(["dpkg-query", "-W", "-f=${Package} ${Version} ${Architecture}\\n"]).stdout
    assert sorted(map(str, target.packages or ())) == sorted(installed.split("\n")[:-1])
    assert [finding.is_enough for finding in check_recipe(read_recipe(RECIPES / "hello"), target)] == [True] * 3


def test_the_stock_target_of_its_release_says_the_same(machine: Machine, tmp_path: Path) -> None:
    if machine.suite not in STOCK or os.uname().machine != "x86_64":
        pytest.skip(f"there is no stock target of {machine.suite} on {os.uname().machine}")
    path = tmp_path / "target.yaml"
    path.write_text(machine.run(["sh", "/root/probe.sh"]).stdout)
    real, stock = read_target(path), stock_target(STOCK[machine.suite])
    assert (real.os, real.machine, real.glibc) == (stock.os, stock.machine, stock.glibc)
    assert (real.init, real.package_manager) == (stock.init, stock.package_manager)


def test_its_short_form_says_the_same(machine: Machine) -> None:
    line = machine.run(["sh", "/root/probe.sh", "--short"]).stdout
    assert len(line) < 200
    version, glibc, _ = SUITES[machine.suite]
    target = parse_short(line)
    assert format_short(target) == line.rstrip("\n")
    assert (target.os.version, target.os.codename, target.glibc) == (version, machine.suite, glibc)
    assert (target.package_manager, target.packages, target.runtimes) == ("apt", None, ())
