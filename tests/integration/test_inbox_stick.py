"""The inbox and a read-only stick that fails or is pulled out in the middle of an install."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from badmedium import BadMedium, can_mount
from bundles import SIGNER
from hosts import NOW, Host, host_bundle, service
from ports import free_port

from bundler.checks import Reading
from bundler.installer.inbox.remembered import read_remembered
from bundler.installer.inbox.settings import Chosen, write_chosen
from bundler.installer.inbox.watch import look
from bundler.installer.pending import where_unfinished
from bundler.verify import Policy
from bundler.volumes import split

pytestmark = pytest.mark.skipif(not can_mount(), reason="mounting a file system of one's own needs root and /dev/fuse")


@pytest.mark.parametrize("fault", ["pulled out", "bad sectors", "bad sectors of a volume"])
def test_a_stick_that_fails_is_not_refused_and_goes_through_once_it_is_right(tmp_path: Path, fault: str) -> None:
    host = Host(tmp_path / "host")
    services = (service("one", free_port()),)
    host.install(host_bundle(tmp_path, services))
    write_chosen(host.layout, Chosen(sticks=("/media/ferry",)))
    files = _files(tmp_path, host_bundle(tmp_path, services, sequence=2, version="2.0"), fault)
    place = host.layout.at("/media/ferry")
    place.parent.mkdir()
    with BadMedium(place, files) as medium:
        session = replace(host.session(), agree=lambda plan, stopped_at: _fail(medium, fault))
        (one,) = look(session, lambda now: now).handled
        assert one.error is not None
        assert one.interrupted, one.error
        words = "is gone: No such device" if fault == "pulled out" else "cannot be read: Input/output error"
        assert f"the medium {words}" in str(one.error)
        assert where_unfinished(host.layout) is None
        assert [told.outcome for told in read_remembered(host.layout).values()] == ["interrupted"]
        medium.faults.gone_after = None
        medium.faults.bad.clear()
        assert [one.error for one in look(host.session(), lambda now: now).handled] == [None]
        reads = len(medium.reads)
        assert look(host.session(), lambda now: now).handled == ()
        # Of one that was handled the head alone is read: to see whether it is due, and to tell what waits.
        assert len(medium.reads) - reads < 24 * len(files)
    assert [(told.outcome, told.product) for told in read_remembered(host.layout).values()] == [("done", "sample 2.0")]
    host.close()


def _files(directory: Path, data: bytes, fault: str) -> dict[str, bytes]:
    if "volume" not in fault:
        return {"b.tar": data}
    whole = directory / "b.tar"
    whole.write_bytes(data)
    policy = Policy(trusted=(SIGNER.public,))
    paths = split(whole, directory, volume_bytes=46_000, policy=policy, now=NOW, reading=Reading())
    return {path.name: path.read_bytes() for path in paths}


def _fail(medium: BadMedium, fault: str) -> bool:
    """Let the medium fail from the moment on at which the install is planned."""
    name = max(medium.files)
    size = len(medium.files[name])
    if fault == "pulled out":
        medium.faults.gone_after = len(medium.reads) + 8
    else:
        medium.faults.bad[name] = [(size - 2048, size)]
    return True
