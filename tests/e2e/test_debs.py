"""Debian packages of a bundle on a real host: apt-get installs them without network, an uninstall purges them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator

import pytest
from command import CHECKOUT, ferry
from listing import listing, names, packages
from machine import Machine

pytestmark = [pytest.mark.e2e, pytest.mark.network]
BUNDLE = "/mnt/stick/hello.tar"
ADDED = {"jq", "libjq1", "libonig5"}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """An isolated bookworm with a stick: the hello service, and jq for the host."""
    reason = Machine.reason_unavailable() or (None if shutil.which("apt-get") else "needs apt-get")
    if reason is not None:
        pytest.skip(reason)
    stick = tmp_path_factory.mktemp("stick")
    recipe = tmp_path_factory.mktemp("recipes") / "hello"
    shutil.copytree(CHECKOUT / "recipes/hello", recipe, ignore=shutil.ignore_patterns("__pycache__"))
    with (recipe / "recipe.yaml").open("a") as stream:
        stream.write("debs:\n  - {suite: bookworm, packages: [jq]}\n")
    keystore = {"FERRY_KEYSTORE": str(tmp_path_factory.mktemp("keys") / "keystore")}
    ferry("lock", recipe)
    ferry("build", recipe, "--yes", "-o", stick / "hello.tar", **keystore)
    ferry("keystore", "public", "-o", stick / "release.pem", **keystore)
    made = Machine.create("bookworm", tmp_path_factory.mktemp("bookworm") / "host")
    made.boot(binds_ro={stick: "/mnt/stick"})
    yield made
    made.destroy()
    shutil.rmtree(made.root, ignore_errors=True)


def install(machine: Machine, *words: str, code: int = 0):  # type: ignore[no-untyped-def]
    machine.run(["sh", "-c", f"cd /root && tar --occurrence=1 -xf {BUNDLE} install.sh"])
    argv = ["sh", "/root/install.sh", BUNDLE, "--trust", "/mnt/stick/release.pem", "--yes", *words]
    done = machine.run(argv, check=False, timeout_s=300)
    machine.run(["rm", "/root/install.sh"])
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_packages_come_and_go_with_the_bundle(machine: Machine) -> None:
    files, before = listing(machine), packages(machine)
    assert not ADDED & names(before)
    install(machine)
    assert machine.run(["jq", "--version"]).stdout == "jq-1.6\n"
    assert names(packages(machine) - before) == ADDED
    assert before <= packages(machine)
    assert b"air gap" in machine.http(8070, "GET", "/").body
    assert json.loads(install(machine, "--json").stdout)["planned"] == 0

    machine.run(["ferry", "host", "uninstall", "--yes"])
    assert packages(machine) == before
    assert listing(machine) ^ files == set(), "uninstall leaves nothing behind"


def test_a_later_step_that_fails_takes_the_packages_back(machine: Machine) -> None:
    files, before = listing(machine), packages(machine)
    machine.run(["sh", "-c", "mkdir /opt/ferry && touch /opt/ferry/releases"])
    done = install(machine, code=8)
    assert "step release failed; this host is as it was before" in done.stderr
    assert packages(machine) == before
    machine.run(["rm", "-r", "/opt/ferry"])
    assert listing(machine) ^ files == set()


def test_packages_that_a_power_cut_left_half_installed_are_finished_or_removed(machine: Machine) -> None:
    files, before = listing(machine), packages(machine)
    install(machine)
    machine.run(["sh", "-c", "cp -L /var/lib/ferry/apt/jq_*.deb /root/jq.deb && dpkg --unpack /root/jq.deb"])
    machine.run(["ferry", "host", "uninstall", "--yes"])
    assert packages(machine) == before

    # Unpacked, recorded, and without what it needs: so far came a run that was cut off.
    machine.run(["sh", "-c", "dpkg --unpack /root/jq.deb && mkdir /var/lib/ferry && echo jq > /var/lib/ferry/packages"])
    install(machine)
    assert machine.run(["jq", "--version"]).stdout == "jq-1.6\n"
    machine.run(["ferry", "host", "uninstall", "--yes"])
    machine.run(["rm", "/root/jq.deb"])
    assert packages(machine) == before
    assert listing(machine) ^ files == set()


def test_what_was_there_before_stays(machine: Machine) -> None:
    install(machine)
    machine.run(["sh", "-c", "rm /var/lib/ferry/packages && echo jq > /var/lib/ferry/packages"])
    machine.run(["ferry", "host", "uninstall", "--yes"])
    assert names(packages(machine)) & ADDED == {"libjq1", "libonig5"}
    planned = json.loads(install(machine, "--dry-run", "--json").stdout)
    assert [one["reason"] for one in planned["steps"] if one["step"] == "packages"] == ["jq: is not installed"]
    install(machine)
    machine.run(["ferry", "host", "uninstall", "--yes"])
    assert names(packages(machine)) & ADDED == {"libjq1", "libonig5"}
