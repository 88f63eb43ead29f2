"""Killed, or without power, at any change: the next install ends where an undisturbed one ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cut_off
import pytest
from hosts import host_bundle, service
from ports import free_port
from smalldisk import SmallDisk

CHANGE = "agent.PROMPT=x"
# What comes after the power cut, whether it is an upgrade, after how many changes more each process dies, and how many
# die at least. Each change would take minutes: scripts/test.sh --full takes them.
CASES = [
    ("install", False, 23, 7),
    ("install", True, 17, 6),
    ("resume", False, 19, 9),
    ("resume", True, 13, 8),
    ("rollback", False, 17, 10),
    ("rollback", True, 11, 10),
    ("killed-rollback", False, 29, 6),
    ("killed-rollback", True, 19, 6),
]
FULL = bool(os.environ.get("FERRY_FULL"))
NAMES = [f"{then} after {'an upgrade' if upgrade else 'a first install'}" for then, upgrade, *_ in CASES]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk in memory where that can be had: an install waits several times for a real one."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    with SmallDisk(tmp_path / "disk", 1024 * 1024 * 1024) as small:
        yield small.path


@pytest.mark.parametrize(("then", "upgrade", "every", "least"), CASES, ids=NAMES)
def test_an_install_killed_anywhere_ends_where_it_should(
    disk: Path, then: str, upgrade: bool, every: int, least: int
) -> None:
    services = (service("agent", free_port(), settings=("PROMPT",)),)
    bundles = [disk / "first.tar"]
    bundles[0].write_bytes(host_bundle(disk, services))
    if upgrade:
        bundles.append(disk / "second.tar")
        bundles[1].write_bytes(host_bundle(disk, services, sequence=2, version="2.0"))
    step = "1" if FULL else str(every)
    command = [sys.executable, cut_off.__file__, str(disk), then, CHANGE, step, *map(str, bundles)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=3600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == [], done.stderr
    assert found["died"] >= least
    assert "fsync" in found["calls"]
