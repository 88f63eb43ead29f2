"""Power lost at any moment: the next install ends where an undisturbed one ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hosts import Host, Server, free_port, host_bundle, service


def cut_off(work: Callable[[], object], syncs: int) -> bool:
    """Run work in a child that dies at its n-th wait for the disk; say whether it died."""
    child = os.fork()
    if child == 0:
        left = [syncs]
        real = os.fsync

        def fsync(fd: int) -> None:
            left[0] -= 1
            if left[0] < 0:
                os._exit(77)
            real(fd)

        os.fsync = fsync
        # A fork has none of the threads that serve: nobody would hear a server's shutdown.
        Server.shutdown = lambda self: None  # type: ignore[method-assign]
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 77


@pytest.mark.parametrize("upgrade", [False, True], ids=["first install", "upgrade"])
def test_an_install_cut_off_anywhere_is_finished_by_the_next(tmp_path: Path, upgrade: bool) -> None:
    services = (service("agent", free_port(), settings=("PROMPT",)),)
    first = host_bundle(tmp_path, services)
    second = host_bundle(tmp_path, services, sequence=2, version="2.0")

    def prepared(name: str) -> Host:
        host = Host(tmp_path / name)
        if upgrade:
            host.install(first)
        return host

    bundle = second if upgrade else first
    whole = prepared("whole")
    whole.install(bundle, "agent.PROMPT=x")
    expected = whole.listing()
    whole.close()
    syncs, died = 0, True
    while died:
        host = prepared(f"cut-{syncs}")
        died = cut_off(lambda host=host: host.install(bundle, "agent.PROMPT=x"), syncs)  # type: ignore[misc]
        # What ran in the child is gone with it, as after a power cut; so is all that /run held.
        for note in host.layout.run.glob("*"):
            note.unlink()
        host.systemd.stop(["ferry-agent.service"])
        host.install(bundle, "agent.PROMPT=x")
        assert host.listing() == expected, f"cut off at wait {syncs}"
        assert host.install(bundle).plan.actions == ()
        host.close()
        syncs += 3
    assert syncs > 20
