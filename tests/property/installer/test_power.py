"""Power lost at any moment: the next install ends where an undisturbed one ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hosts import Host, Server, free_port, host_bundle, service


def cut_off(host: Host, before: bytes | None, bundle: bytes, syncs: int) -> bool:
    """Install in a child that dies at the n-th wait for the disk of its last install; say whether it died."""
    child = os.fork()
    if child == 0:
        try:
            if before is not None:
                host.install(before)
            _die_after(syncs)
            host.install(bundle, CHANGE)
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, DIED)
    return status == DIED


def _die_after(syncs: int) -> None:
    left = [syncs]
    real = os.fsync

    def fsync(fd: int) -> None:
        left[0] -= 1
        if left[0] < 0:
            os._exit(DIED)
        real(fd)

    os.fsync = fsync


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
    syncs, died = 0, True
    while died:
        host = Host(tmp_path / f"cut-{syncs}")
        died = cut_off(host, first if upgrade else None, bundle, syncs)
        # The services were the child's and are gone with it, as after a power cut; so is all that /run held.
        for note in host.layout.run.glob("*"):
            note.unlink()
        host.systemd.enabled = {path.name for path in host.layout.units.glob("ferry-*")}
        host.install(bundle, CHANGE)
        assert host.listing() == expected, f"cut off at wait {syncs}"
        assert host.install(bundle).plan.actions == ()
        host.close()
        syncs += 2
    assert syncs > 40
