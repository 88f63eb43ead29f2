"""Power lost at any moment: the next install ends where an undisturbed one ends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import cut_off as cut_off_script
import pytest
from hosts import Host, host_bundle, service
from ports import free_port

CHANGE = "agent.PROMPT=x"


def cut_off(host: Host, bundles: Sequence[Path], waits: int) -> bool:
    """Install in a process that dies at its n-th wait for the disk; say whether it died."""
    argv = [sys.executable, cut_off_script.__file__, host.root, str(waits), CHANGE, *bundles]
    path = os.pathsep.join(sys.path)
    done = subprocess.run(argv, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode in (0, cut_off_script.DIED), done.stderr
    return done.returncode == cut_off_script.DIED


@pytest.mark.parametrize("upgrade", [False, True], ids=["first install", "upgrade"])
def test_an_install_cut_off_anywhere_is_finished_by_the_next(tmp_path: Path, upgrade: bool) -> None:
    services = (service("agent", free_port(), settings=("PROMPT",)),)
    first = host_bundle(tmp_path, services)
    bundle = host_bundle(tmp_path, services, sequence=2, version="2.0") if upgrade else first
    whole = Host(tmp_path / "whole")
    if upgrade:
        whole.install(first)
    whole.install(bundle, CHANGE)
    expected = whole.listing()
    whole.close()
    files = [tmp_path / "first.tar", tmp_path / "second.tar"] if upgrade else [tmp_path / "first.tar"]
    for file, data in zip(files, (first, bundle), strict=False):
        file.write_bytes(data)
    syncs, died = 0, True
    while died:
        host = Host(tmp_path / f"cut-{syncs}")
        died = cut_off(host, files, syncs)
        # The services were that process's and are gone with it, as after a power cut; so is all that /run held.
        for note in host.layout.run.glob("*"):
            note.unlink()
        host.systemd.enabled = {path.name for path in host.layout.units.glob("ferry-*")}
        host.install(bundle, CHANGE)
        assert host.listing() == expected, f"cut off at wait {syncs}"
        assert host.install(bundle).plan.actions == ()
        host.close()
        syncs += 4
    assert syncs > 30
