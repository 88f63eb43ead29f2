"""Killed, or without power, at any change: the next install ends where an undisturbed one ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cut_off
import pytest
from hosts import host_bundle, service
from ports import free_port

CHANGE = "agent.PROMPT=x"
# Whether it is an upgrade, after how many changes more each process dies (each change would take minutes), and how many
# die at least.
CASES = [(False, 9, 20), (True, 7, 14)]


@pytest.mark.parametrize(
    ("upgrade", "every", "least"), [(False, 9, 20), (True, 7, 14)], ids=["first install", "upgrade"]
)
def test_an_install_killed_anywhere_is_finished_by_the_next(
    tmp_path: Path, upgrade: bool, every: int, least: int
) -> None:
    services = (service("agent", free_port(), settings=("PROMPT",)),)
    bundles = [tmp_path / "first.tar"]
    bundles[0].write_bytes(host_bundle(tmp_path, services))
    if upgrade:
        bundles.append(tmp_path / "second.tar")
        bundles[1].write_bytes(host_bundle(tmp_path, services, sequence=2, version="2.0"))
    command = [sys.executable, cut_off.__file__, str(tmp_path), CHANGE, str(every), *map(str, bundles)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["wrong"] == [], done.stderr
    assert found["died"] >= least
    assert {"mkdir", "fsync", "write"} <= found["calls"].keys()
