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
# Whether it is an upgrade, after how many changes more each process dies (each change would take minutes), and how many
# die at least.
CASES = [(False, 9, 20), (True, 7, 14)]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk in memory where that can be had: an install waits several times for a real one."""
    if os.geteuid() != 0:
        yield tmp_path
        return
    with SmallDisk(tmp_path / "disk", 1024 * 1024 * 1024) as small:
        yield small.path


@pytest.mark.parametrize(("upgrade", "every", "least"), CASES, ids=["first install", "upgrade"])
def test_an_install_killed_anywhere_is_finished_by_the_next(disk: Path, upgrade: bool, every: int, least: int) -> None:
    services = (service("agent", free_port(), settings=("PROMPT",)),)
    bundles = [disk / "first.tar"]
    bundles[0].write_bytes(host_bundle(disk, services))
    if upgrade:
        bundles.append(disk / "second.tar")
        bundles[1].write_bytes(host_bundle(disk, services, sequence=2, version="2.0"))
    command = [sys.executable, cut_off.__file__, str(disk), CHANGE, str(every), *map(str, bundles)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == [], done.stderr
    assert found["died"] >= least
    assert {"mkdir", "fsync", "write"} <= found["calls"].keys()
