"""An install from the bundle to services that answer, and back, on a host in a directory."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from bundles import DEFECTS, Defect
from hosts import Host, host_bundle, service
from ports import free_port

from bundler.archive import read_head
from bundler.errors import FerryError, HostError, IntegrityError, TrustError
from bundler.installer.install import Outcome
from bundler.installer.journal import exclusive
from bundler.installer.status import read_status
from bundler.installer.uninstall import uninstall
from bundler.model.manifest import parse_manifest
from bundler.model.service import Service

ALL = ["launcher", "store", "trust", "marks", "release", "settings", "units", "switch", "services", "health"]


def planned(outcome: Outcome) -> dict[str, str]:
    return {action.step: action.reason for action in outcome.plan.actions}


def test_a_fresh_install_ends_with_services_that_answer(host: Host, bundle: bytes) -> None:
    outcome = host.install(bundle)
    assert [done.action.step for done in outcome.done] == ALL
    root = host.layout.current / "root"
    assert (root / "usr/bin/python3.11").read_text() == "#!/bin/sh\n"
    assert (root / "usr/local/lib/python3.11/dist-packages/sample.py").read_text() == "greeting = 'hello'\n"
    assert (root / "srv/data/2").exists()
    assert host.layout.current.readlink() == Path("releases/1")
    assert (host.layout.store / "index.json").read_text() == '{"schemaVersion":2,"manifests":[]}'
    assert host.systemd.calls == ["reload", "start ferry-model.service", "start ferry-agent.service"]
    status = read_status(host.layout, host.systemd)
    assert status.is_healthy
    assert [(one.name, one.active, one.not_ready) for one in status.services] == [
        ("agent", "active", None),
        ("model", "active", None),
    ]


def test_the_plan_says_why(host: Host, bundle: bytes) -> None:
    manifest = parse_manifest(read_head(io.BytesIO(bundle)).manifest)
    size = sum(entry.size for entry in manifest.entries) / 1e6
    assert planned(host.install(bundle, dry_run=True)) == {
        "store": f"7 of 7 parts ({size:.1f} MB) are not in the host's store",
        "trust": f"this host does not know the key {host_keyid(host)[:16]} yet",
        "marks": "this host has had no sample yet",
        "release": "sample 1.0 is not unpacked on this host",
        "settings": "agent.env: is not there",
        "units": "ferry-model.service: is not there; ferry-agent.service: is not there",
        "switch": "no release is the current one, not release 1",
        "launcher": "/usr/local/bin/ferry is not there",
        "services": "model: is not installed; agent: is not installed",
        "health": "waits until model, agent can work",
    }


def host_keyid(host: Host) -> str:
    from bundler.verify import read_trust

    return read_trust(host.trust).keyid


def test_a_dry_run_changes_nothing(host: Host, bundle: bytes) -> None:
    before = host.listing()
    assert host.install(bundle, dry_run=True).done == ()
    assert host.listing() == before
    assert host.systemd.calls == []


def test_a_second_install_plans_nothing(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    before = host.listing()
    again = host.install(bundle, trust=None)
    assert (again.plan.actions, again.plan.store_bytes, again.plan.tree_bytes) == ((), 0, 0)
    assert host.listing() == before


def test_a_host_that_knows_no_key_asks_for_one(host: Host, bundle: bytes) -> None:
    with pytest.raises(TrustError) as caught:
        host.install(bundle, trust=None)
    assert str(caught.value) == "expected a trusted key, this host knows none yet"


def test_a_stopped_service_is_started(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    host.systemd.stop(["ferry-agent.service"])
    assert planned(host.install(bundle)) == {
        "services": "agent: is inactive",
        "health": "waits until agent can work",
    }


def test_a_service_that_would_not_start_at_boot_is_enabled_and_goes_on(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    host.systemd.disable(["ferry-agent.service"])
    host.systemd.calls.clear()
    assert planned(host.install(bundle)) == {"services": "agent: does not start at boot"}
    assert host.systemd.calls == []
    assert "ferry-agent.service" in host.systemd.enabled


def test_a_changed_setting_restarts_its_service_only(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    host.systemd.calls.clear()
    assert planned(host.install(bundle, "agent.PROMPT=Be brief.")) == {
        "stop": "agent: starts anew",
        "settings": "agent.env: PROMPT changes",
        "services": "agent: runs with what was before",
        "health": "waits until agent can work",
    }
    assert host.systemd.calls == ["stop ferry-agent.service", "start ferry-agent.service"]
    assert 'PROMPT="Be brief."' in (host.layout.settings / "agent.env").read_text()
    assert planned(host.install(bundle)) == {}


def test_settings_edited_by_hand_restart_the_service(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    path = host.layout.settings / "agent.env"
    path.write_text(path.read_text() + "PROMPT=mine\n")
    assert planned(host.install(bundle))["services"] == "agent: runs with what was before"
    assert "PROMPT=mine\n" in path.read_text()


def test_another_model_takes_the_place_of_the_bundled_one(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    outcome = host.install(bundle, "agent.MODEL_BASE_URL=http://10.0.0.5:8000/v1")
    assert planned(outcome) == {
        "stop": "agent: starts anew; model: is no longer wanted",
        "settings": "agent.env: MODEL_BASE_URL changes",
        "units": "ferry-agent.service: is not as this release writes it; ferry-model.service: is no longer wanted",
        "services": "agent: runs with what was before",
        "health": "waits until agent can work",
    }
    unit = (host.layout.units / "ferry-agent.service").read_text()
    assert "IPAddressAllow=localhost 10.0.0.5\n" in unit
    assert "ferry-model.service" not in unit
    assert not (host.layout.units / "ferry-model.service").exists()
    assert host.systemd.enabled == {"ferry-agent.service"}
    assert read_status(host.layout, host.systemd).is_healthy
    back = planned(host.install(bundle, "agent.MODEL_BASE_URL="))
    assert back["services"] == "model: is not installed; agent: runs with what was before"


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda host: host.layout.launcher.unlink(), {"launcher": "/usr/local/bin/ferry is not there"}),
        (
            lambda host: (host.layout.units / "ferry-agent.service").write_text("# Written by Ferry.\n[Service]\n"),
            {
                "stop": "agent: starts anew",
                "units": "ferry-agent.service: is not as this release writes it",
                "services": "agent: runs with what was before",
                "health": "waits until agent can work",
            },
        ),
        (
            lambda host: (host.layout.units / "ferry-agent.service").unlink(),
            {
                "units": "ferry-agent.service: is not there",
                "services": "agent: is not installed",
                "health": "waits until agent can work",
            },
        ),
        (
            lambda host: host.layout.current.unlink(),
            {
                "stop": "agent: starts anew; model: starts anew",
                "switch": "no release is the current one, not release 1",
                "services": "model: runs with what was before; agent: runs with what was before",
                "health": "waits until model, agent can work",
            },
        ),
    ],
    ids=["launcher", "altered unit", "missing unit", "link"],
)
def test_what_is_missing_is_mended(host: Host, bundle: bytes, spoil: object, expected: dict[str, str]) -> None:
    host.install(bundle)
    whole = host.listing()
    spoil(host)  # type: ignore[operator]
    found = planned(host.install(bundle))
    if "switch" in expected:
        assert found.keys() == expected.keys()
    else:
        assert found == expected
    assert host.listing() == whole
    assert planned(host.install(bundle)) == {}


def test_a_missing_blob_comes_anew(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    whole = host.listing()
    entry = parse_manifest(read_head(io.BytesIO(bundle)).manifest).entries[-1]
    (host.layout.store / entry.name).unlink()
    assert list(planned(host.install(bundle))) == ["store"]
    assert host.listing() == whole


def test_a_missing_tree_is_made_again_under_a_new_number(host: Host, bundle: bytes) -> None:
    import shutil

    host.install(bundle)
    shutil.rmtree(host.layout.trees / "1")
    assert {"release", "switch"} <= planned(host.install(bundle)).keys()
    assert host.layout.current.readlink() == Path("releases/2")
    assert planned(host.install(bundle)) == {}


def test_an_upgrade_switches_and_a_failed_one_falls_back(
    host: Host, bundle: bytes, tmp_path: Path, services: tuple[Service, ...]
) -> None:
    host.install(bundle)
    before = host.listing()
    newer = host_bundle(tmp_path, services, sequence=2, version="2.0")
    host.systemd.broken_once["ferry-agent.service"] = 1
    with pytest.raises(HostError) as caught:
        host.install(newer)
    assert str(caught.value) == (
        "services: agent: expected ferry-agent.service to become ready, it ended (failed, started again 0 times)\n"
        "the last words of ferry-agent.service"
    )
    assert caught.value.hint == ("step health failed; this host is as it was before; sample 1.0 (release 1) runs again")
    host.systemd.start("ferry-agent.service")
    assert host.listing() == before
    assert read_status(host.layout, host.systemd).release.version == "1.0"
    assert host.systemd.enabled == {"ferry-agent.service", "ferry-model.service"}

    host.install(newer)
    assert read_status(host.layout, host.systemd).release.version == "2.0"
    assert host.layout.current.readlink() == Path("releases/2")
    assert planned(host.install(newer)) == {}


def test_a_failed_first_install_leaves_nothing(host: Host, bundle: bytes) -> None:
    before = host.listing()
    host.systemd.broken = {"ferry-agent.service"}
    with pytest.raises(HostError, match="to become ready, it ended"):
        host.install(bundle)
    assert host.listing() == before
    assert host.systemd.enabled == set()


# What a host has seen of revocations is in its sealed marks.
@pytest.mark.parametrize("defect", [one for one in DEFECTS if not one.oldest_revocations], ids=lambda one: one.name)
def test_a_defective_bundle_leaves_nothing(host: Host, bundle: bytes, tmp_path: Path, defect: Defect) -> None:
    before = host.listing()
    with pytest.raises(FerryError) as caught:
        host.install(defect.spoil(bundle), trust=defect.trust_files(tmp_path), demands=defect.demands or None)
    assert caught.value.exit_code == defect.exit_code
    assert defect.says in str(caught.value)
    assert host.listing() == before


def test_an_older_bundle_is_refused_unless_allowed(
    host: Host, bundle: bytes, tmp_path: Path, services: tuple[Service, ...]
) -> None:
    newer = host_bundle(tmp_path, services, sequence=2, version="2.0")
    host.install(newer)
    with pytest.raises(TrustError) as caught:
        host.install(bundle)
    assert str(caught.value) == (
        "ferry.json: sequence: expected sequence 2 or higher, got 1: this host has had 2.0 with sequence 2"
    )
    assert caught.value.hint == (
        "an old bundle may bring old holes back; to go back all the same: --allow-older-sequence"
    )
    host.install(bundle, allow_older=True)
    assert read_status(host.layout, host.systemd).release.version == "1.0"
    assert planned(host.install(bundle)) == {}


def test_another_bundle_with_the_same_sequence_is_refused(
    host: Host, bundle: bytes, tmp_path: Path, services: tuple[Service, ...]
) -> None:
    host.install(bundle)
    with pytest.raises(TrustError) as caught:
        host.install(host_bundle(tmp_path, services, version="1.1"))
    assert str(caught.value) == (
        "ferry.json: sequence: expected a sequence above 1: this host has had another bundle, 1.0 with sequence 1"
    )


def test_another_product_is_refused(host: Host, bundle: bytes, tmp_path: Path, services: tuple[Service, ...]) -> None:
    host.install(bundle)
    with pytest.raises(HostError) as caught:
        host.install(host_bundle(tmp_path, services, name="other", sequence=9))
    assert str(caught.value) == 'expected a bundle of "sample", which is installed here, got "other"'


def test_an_expired_bundle_is_refused_unless_accepted(
    host: Host, tmp_path: Path, services: tuple[Service, ...]
) -> None:
    old = host_bundle(tmp_path, services, expires="2026-02-01T00:00:00Z")
    with pytest.raises(TrustError, match="the bundle expired at 2026-02-01T00:00:00Z, it is 2026-11-23T12:00:00Z"):
        host.install(old)
    host.install(old, accept_expired=True)


def test_a_bundle_exchanged_after_the_plan_is_refused(
    host: Host, bundle: bytes, tmp_path: Path, services: tuple[Service, ...]
) -> None:
    path = host.put(bundle)
    before = host.listing()
    host._agree = lambda plan, at: bool(  # type: ignore[method-assign,assignment]
        host.put(host_bundle(tmp_path, services, sequence=3))
    )
    with pytest.raises(FerryError, match="the bundle changed after it was planned"):
        host.install(path)
    assert host.listing() == before


def test_two_runs_at_once_are_refused(host: Host, bundle: bytes) -> None:
    with exclusive(host.layout.run), pytest.raises(HostError, match="another run of ferry is at work on this host"):
        host.install(bundle)
    host.install(bundle)


def test_a_disk_without_room_leaves_nothing(host: Host, bundle: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        if "/store/" in str(Path(f"/proc/self/fd/{fd}").readlink()):
            raise OSError(28, "No space left on device")
        return write(fd, data, offset)

    before = host.listing()
    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(HostError) as caught:
        host.install(bundle)
    assert str(caught.value) == "store: No space left on device"
    assert host.listing() == before


def test_an_uninstall_leaves_nothing(host: Host, bundle: bytes, tmp_path: Path, services: tuple[Service, ...]) -> None:
    before = host.listing()
    host.install(bundle)
    host.install(host_bundle(tmp_path, services[:1], sequence=2))
    for place in host.layout.data("agent") + host.layout.data("model"):
        place.mkdir(parents=True)
    assert uninstall(host.layout, host.systemd) == ("ferry-agent.service",)
    assert host.listing() == before
    assert uninstall(host.layout, host.systemd) == ()


def test_an_uninstall_may_keep_data_and_settings(host: Host, bundle: bytes) -> None:
    host.install(bundle, "agent.PROMPT=x")
    (host.layout.data("agent")[2]).mkdir(parents=True)
    uninstall(host.layout, host.systemd, keep_data=True)
    assert host.layout.data("agent")[2].is_dir()
    assert "PROMPT=x\n" in (host.layout.settings / "agent.env").read_text()
    # What the host has had, and what was done to it, is kept too.
    assert sorted(path.name for path in host.layout.state.iterdir()) == ["audit", "memory"]
    host.install(bundle)
    assert "PROMPT=x\n" in (host.layout.settings / "agent.env").read_text()


def test_status_without_an_install_says_so(host: Host) -> None:
    with pytest.raises(HostError) as caught:
        read_status(host.layout, host.systemd)
    assert str(caught.value) == "expected an installed release, there is none"


def test_status_is_degraded_when_a_service_is_down(host: Host, tmp_path: Path) -> None:
    port = free_port()
    host.install(host_bundle(tmp_path, [service("one", port)]))
    host.systemd.stop(["ferry-one.service"])
    status = read_status(host.layout, host.systemd)
    assert (status.is_healthy, status.services[0].not_ready) == (False, "it is inactive")


def test_a_stored_blob_that_was_damaged_since_it_came_is_not_used_and_comes_anew(
    host: Host, bundle: bytes, tmp_path: Path, services: tuple[Service, ...]
) -> None:
    host.install(bundle)
    manifest = parse_manifest(read_head(io.BytesIO(bundle)).manifest)
    item = manifest.of_kind("wheel")[0]
    blob = host.layout.store / "blobs/sha256" / item.descriptor.sha256
    whole = blob.read_bytes()
    blob.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    newer = host_bundle(tmp_path, services, sequence=2, version="2.0")
    with pytest.raises(IntegrityError) as caught:
        host.install(newer)
    assert str(caught.value) == (
        f'wheel "sample-1-py3-none-any.whl": the stored blob {item.descriptor.sha256} is damaged since it came'
    )
    assert caught.value.hint == (
        "run the same install again: it comes anew from the bundle; step release failed; this host is as it was before"
    )
    assert read_status(host.layout, host.systemd).release.version == "1.0"
    host.install(newer)
    assert blob.read_bytes() == whole
    assert read_status(host.layout, host.systemd).release.version == "2.0"
    assert planned(host.install(newer)) == {}
