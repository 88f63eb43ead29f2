"""A disk that becomes full at any point of an install, on file systems that really are full."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path

import pytest
from hosts import Host, host_bundle, service
from ports import free_port
from smalldisk import SmallDisk

from bundler.errors import HostError

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a file system of one's own needs root")
# What the preflight wants free beside what the bundle needs.
RESERVE = 64 * 1024 * 1024
# What a run keeps for its undo.
KEPT = 1024 * 1024
STEP = 8 * 1024
HINT = re.compile(
    r"/var/lib/ferry and /opt/ferry: (?P<needed>[0-9]+) bytes needed, (?P<free>[0-9]+) free; "
    r"step (?P<step>\w+) failed; this host is as it was before(?P<back>; sample 1.0 \(release 1\) runs again)?"
)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with SmallDisk(tmp_path / "disk", RESERVE + 16 * 1024 * 1024) as disk:
        yield disk


@pytest.fixture
def bundles(tmp_path: Path) -> tuple[bytes, bytes]:
    services = (service("agent", free_port(), settings=("PROMPT",)),)
    return host_bundle(tmp_path, services), host_bundle(tmp_path, services, sequence=2, version="2.0")


def test_too_little_room_is_told_before_anything_is_written(disk: SmallDisk, bundles: tuple[bytes, bytes]) -> None:
    host = Host(disk.path / "host")
    before = host.listing()
    path = host.put(bundles[0])
    disk.leave(1024 * 1024)
    with pytest.raises(HostError) as caught:
        host.install(path, "agent.PROMPT=new")
    assert re.fullmatch(
        "/var/lib/ferry and /opt/ferry: expected 65 MiB free, got 1 MiB: 64 MiB are missing", str(caught.value)
    )
    assert caught.value.exit_code == 8
    assert host.listing() == before


def filled(host: Host, disk: SmallDisk, path: Path, left: int) -> HostError | None:
    """Install while all but some bytes are taken once the plan is made; return the refusal."""
    host._agree = lambda plan, at: disk.leave(left) is None  # type: ignore[method-assign]
    try:
        host.install(path, "agent.PROMPT=new")
    except HostError as error:
        return error
    finally:
        del host._agree
        disk.free()
    return None


@pytest.mark.parametrize("upgrade", [False, True], ids=["first install", "upgrade"])
def test_a_disk_that_fills_up_at_any_point_leaves_the_host_as_it_was(
    disk: SmallDisk, bundles: tuple[bytes, bytes], upgrade: bool
) -> None:
    host = Host(disk.path / "host")
    if upgrade:
        host.install(bundles[0], "agent.PROMPT=old")
    before, enabled = host.listing(), set(host.systemd.enabled)
    path = host.put(bundles[upgrade])
    steps = []
    for left in chain([0], count(KEPT, STEP)):
        error = filled(host, disk, path, left)
        if error is None:
            break
        assert "no space left on device" in error.message.lower()
        told = HINT.fullmatch(error.hint or "")
        assert told is not None, error.hint
        assert int(told["free"]) <= left < RESERVE < int(told["needed"])
        assert host.listing() == before, f"{left} bytes left"
        assert host.systemd.enabled == enabled
        steps.append(told["step"])
    assert {"store", "release"} <= set(steps)
    assert set(steps) & {"audit", "journal"}
    assert host.install(path).plan.actions == ()
    host.close()
