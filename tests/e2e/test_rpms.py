"""RPM packages of a bundle on a real host: dnf checks and installs them without network, an uninstall removes them.

The host is Debian with rpm and dnf, whose rpm database holds packages of a small distribution.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import CHECKOUT, ferry
from machine import Machine
from rpms import MIDDLE, RELEASE, SAMPLES, TOP, Distribution, Spec, build_rpm, reason_unavailable, served

pytestmark = [pytest.mark.e2e, pytest.mark.network]
BUNDLE = "/mnt/stick/hello.tar"
ADDED = {MIDDLE.name, TOP.name, "gpg-pubkey"}
# rpm and dnf keep their own books: what they say is installed is compared instead.
LISTING = (
    "find / -xdev -not -path '/proc/*' -not -path '/sys/*' -not -path '/run/*' -not -path '/tmp/*' -not -path '/mnt/*' "
    "-not -path '/var/log/*' -not -path '/var/tmp/*' -not -path '/var/lib/systemd/*' -not -path '/var/lib/rpm/*' "
    "-not -path '/var/lib/dnf*' -not -path '/var/cache/ldconfig/*' | sort"
)
FOREIGN = Spec(name="foreign", tags=("Requires: middle",))
RIVAL_HERE = Spec(name="rival-here", tags=("Conflicts: middle",))


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """An isolated host with a stick: the hello service, and packages of the distribution for the host."""
    if reason := Machine.reason_unavailable() or reason_unavailable():
        pytest.skip(reason)
    work, stick = tmp_path_factory.mktemp("distribution"), tmp_path_factory.mktemp("stick")
    made = Distribution(work, SAMPLES)
    for path in [*made.packages, *(build_rpm(work / "more", spec) for spec in (FOREIGN, RIVAL_HERE))]:
        shutil.copy(path, stick)
    bundle(made, tmp_path_factory.mktemp("recipes") / "hello", stick, tmp_path_factory.mktemp("keys"))
    host = Machine.create("bookworm", tmp_path_factory.mktemp("bookworm") / "host", include=["dnf", "rpm"])
    (host.root / "etc/rpm").mkdir(exist_ok=True)
    # Where the distributions that are made of rpms have it.
    (host.root / "etc/rpm/macros").write_text("%_dbpath /var/lib/rpm\n")
    host.boot(binds_ro={stick: "/mnt/stick"})
    host.run(["sh", "-c", "rpm --install --justdb --nosignature /mnt/stick/bash-*.rpm /mnt/stick/coreutils-*.rpm"])
    yield host
    host.destroy()
    shutil.rmtree(host.root, ignore_errors=True)


def bundle(made: Distribution, recipe: Path, stick: Path, keys: Path) -> None:
    shutil.copytree(CHECKOUT / "recipes/hello", recipe, ignore=shutil.ignore_patterns("__pycache__"))
    text = (recipe / "recipe.yaml").read_text().replace("[linux/amd64, linux/arm64]", "[linux/amd64]")
    (recipe / "recipe.yaml").write_text(f"{text}rpms:\n  - {{release: {RELEASE}, packages: [top]}}\n")
    with served(made.repository) as url:
        environment = {"FERRY_KEYSTORE": str(keys / "keystore"), **made.configure(keys / "repositories", url)}
        ferry("lock", recipe, **environment)
        ferry("build", recipe, "--yes", "-o", stick / "hello.tar", **environment)
    ferry("keystore", "public", "-o", stick / "release.pem", **environment)


def install(machine: Machine, *words: str, code: int = 0):  # type: ignore[no-untyped-def]
    machine.run(["sh", "-c", f"cd /root && tar --occurrence=1 -xf {BUNDLE} install.sh"])
    argv = ["sh", "/root/install.sh", BUNDLE, "--trust", "/mnt/stick/release.pem", "--yes", *words]
    done = machine.run(argv, check=False, timeout_s=300)
    machine.run(["rm", "/root/install.sh"])
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def packages(machine: Machine) -> set[str]:
    return set(machine.run(["rpm", "--query", "--all"]).stdout.splitlines())


def names(of: set[str]) -> set[str]:
    return {line.rsplit("-", 2)[0] for line in of}


def listing(machine: Machine) -> set[str]:
    return set(machine.run(["sh", "-c", LISTING]).stdout.splitlines())


def test_packages_come_and_go_with_the_bundle(machine: Machine) -> None:
    files, before = listing(machine), packages(machine)
    assert names(before) == {"bash", "coreutils"}
    install(machine)
    assert machine.run(["top-sample"]).stdout == "top 2.0\n"
    machine.run(["test", "-e", "/var/lib/top-was-here"])
    assert names(packages(machine) - before) == ADDED
    assert before <= packages(machine)
    assert b"air gap" in machine.http(8070, "GET", "/").body
    assert machine.run(["rpm", "--verify", "top", "middle"]).stdout == ""
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


def test_a_conflict_is_refused_before_anything_changes_and_never_forced(machine: Machine) -> None:
    machine.run(["sh", "-c", "rpm --install --nosignature /mnt/stick/rival-here-*.rpm"])
    files, before = listing(machine), packages(machine)
    done = install(machine, code=8)
    assert "rpms: the packages do not fit this host: Problem: " in done.stderr
    assert "conflicts with middle provided by middle-2.1-1.x86_64" in done.stderr
    assert "allowerasing" not in done.stderr
    assert "step rpms failed; this host is as it was before" in done.stderr
    assert packages(machine) == before
    assert listing(machine) ^ files == set()
    machine.run(["rpm", "--erase", "rival-here"])


def test_packages_that_a_power_cut_left_are_finished_and_removed(machine: Machine) -> None:
    files, before = listing(machine), packages(machine)
    # One was installed, both were on record: so far came a run that was cut off.
    machine.run(["sh", "-c", "rpm --install --nosignature /mnt/stick/middle-*.rpm && mkdir /var/lib/ferry"])
    machine.run(["sh", "-c", "printf 'middle.x86_64\ntop.noarch\n' > /var/lib/ferry/rpms"])
    install(machine)
    assert machine.run(["top-sample"]).stdout == "top 2.0\n"
    machine.run(["ferry", "host", "uninstall", "--yes"])
    assert packages(machine) == before
    assert listing(machine) ^ files == set()


def test_what_others_came_to_need_stays(machine: Machine) -> None:
    before = packages(machine)
    install(machine)
    machine.run(["sh", "-c", "rpm --install --nosignature /mnt/stick/foreign-*.rpm"])
    machine.run(["ferry", "host", "uninstall", "--yes"])
    assert names(packages(machine) - before) == {"foreign", "middle"}
    machine.run(["rpm", "--erase", "foreign", "middle"])
    assert packages(machine) == before


def test_what_was_there_before_stays(machine: Machine) -> None:
    before = packages(machine)
    machine.run(["sh", "-c", "rpm --install --nosignature /mnt/stick/middle-*.rpm"])
    planned = json.loads(install(machine, "--dry-run", "--json").stdout)
    assert [one["reason"] for one in planned["steps"] if one["step"] == "rpms"] == ["top.noarch: is not installed"]
    install(machine)
    machine.run(["ferry", "host", "uninstall", "--yes"])
    assert names(packages(machine) - before) == {"middle"}
    machine.run(["rpm", "--erase", "middle"])
