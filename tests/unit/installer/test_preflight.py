"""Refusals before anything is changed, each with its exact gap."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hosts import PYTHON, Host, host_bundle, service

from bundler.errors import HostError
from bundler.installer.facts import Facts, Space
from bundler.installer.plan import Plan, make_plan
from bundler.installer.ports import listeners
from bundler.installer.preflight.required import check_host, check_owner, check_plan
from bundler.installer.wanted import want
from bundler.verify import read_trust

from hosts import host_manifest  # isort: skip

MIB = 1024 * 1024


@pytest.fixture
def plan(host: Host, facts: Facts, tmp_path: Path) -> Plan:
    manifest, _ = host_manifest(tmp_path, [service("agent", 8090)])
    wanted = want(manifest, "0" * 64, read_trust(host.trust), facts, changes={}, python=PYTHON)
    return replace(make_plan(wanted, facts), store_bytes=100 * MIB, tree_bytes=200 * MIB)


def refused(plan: Plan, facts: Facts) -> str:
    with pytest.raises(HostError) as caught:
        check_plan(plan, facts)
    return str(caught.value)


def test_another_machine(facts: Facts) -> None:
    with pytest.raises(HostError) as caught:
        check_host(replace(facts, machine="riscv64"), "x86_64")
    assert (str(caught.value), caught.value.hint) == (
        "expected a host of x86_64, this is riscv64",
        "bring the bundle for riscv64",
    )


def test_no_systemd(facts: Facts) -> None:
    with pytest.raises(HostError) as caught:
        check_host(replace(facts, has_systemd=False, machine="x86_64"), "x86_64")
    assert str(caught.value) == "expected systemd as process 1, /run/systemd/system is not there"


def test_someone_elses_host(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: host.root.stat().st_uid + 1)
    with pytest.raises(HostError) as caught:
        check_owner(host.layout)
    assert str(caught.value) == "expected to run as root"


def test_one_file_system_without_room_for_both(plan: Plan, facts: Facts) -> None:
    space = Space(device=1, free_bytes=363 * MIB)
    assert refused(plan, replace(facts, store_space=space, programs_space=space)) == (
        "/var/lib/ferry and /opt/ferry: expected 364 MiB free, got 363 MiB: 1 MiB are missing"
    )
    room = Space(device=1, free_bytes=364 * MIB)
    check_plan(plan, replace(facts, store_space=room, programs_space=room, ports={}))


def test_two_file_systems_are_judged_alone(plan: Plan, facts: Facts) -> None:
    store, programs = Space(device=1, free_bytes=500 * MIB), Space(device=2, free_bytes=10 * MIB)
    assert refused(plan, replace(facts, store_space=store, programs_space=programs)) == (
        "/opt/ferry: expected 264 MiB free, got 10 MiB: 254 MiB are missing"
    )


def test_packages_count_where_they_are_unpacked(plan: Plan, facts: Facts) -> None:
    more = replace(plan, packages_bytes=50 * MIB)
    one = Space(device=1, free_bytes=413 * MIB)
    assert refused(more, replace(facts, store_space=one, programs_space=one, system_space=one)) == (
        "/var/lib/ferry and /opt/ferry and /usr: expected 414 MiB free, got 413 MiB: 1 MiB are missing"
    )
    room, small = Space(device=1, free_bytes=500 * MIB), Space(device=2, free_bytes=113 * MIB)
    assert refused(more, replace(facts, store_space=room, programs_space=room, system_space=small)) == (
        "/usr: expected 114 MiB free, got 113 MiB: 1 MiB are missing"
    )


def test_a_taken_port_is_told_with_its_owner(plan: Plan, facts: Facts) -> None:
    assert refused(plan, replace(facts, ports={8090: "nginx.service"})) == (
        "services: agent: expected port 8090 to be free, nginx.service listens on it"
    )
    assert refused(plan, replace(facts, ports={8090: ""})) == (
        "services: agent: expected port 8090 to be free, another program listens on it"
    )
    check_plan(plan, replace(facts, ports={80: "nginx.service"}))


def test_anothers_program_is_not_overwritten(plan: Plan, facts: Facts) -> None:
    assert refused(plan, replace(facts, launcher="#!/bin/sh\nexec river-ferry\n")) == (
        "/usr/local/bin/ferry: expected no file or Ferry's own, got another program's"
    )


@pytest.fixture
def listener() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_listeners_of_this_machine_are_found(listener: int) -> None:
    owner = listeners(Path("/proc"))[listener]
    assert owner.endswith(".service") or "(process " in owner


def test_a_refused_host_is_as_before(host: Host, tmp_path: Path, listener: int) -> None:
    (host.root / "proc").symlink_to("/proc")
    before = host.listing()
    with pytest.raises(HostError, match=f"expected port {listener} to be free"):
        host.install(host_bundle(tmp_path, [service("agent", listener)]))
    assert host.listing() == before
