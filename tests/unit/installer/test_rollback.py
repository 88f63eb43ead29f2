"""Installs that were cut off are finished or taken back, and an earlier release runs again."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hosts import Host, host_bundle

from bundler.errors import HostError, IntegrityError
from bundler.installer import apply as applying
from bundler.installer.install import Outcome
from bundler.installer.journal import outcome
from bundler.installer.marks import read_marks
from bundler.installer.pending import find_pending, where_unfinished
from bundler.installer.status import read_status
from bundler.installer.steps import STEPS
from bundler.installer.takeback import TakenBack
from bundler.model.service import Service
from keystore import audit

Cut = Callable[[Host, bytes, str], None]


class PowerCutError(BaseException):
    """The power goes: nothing that runs notices."""


@pytest.fixture
def newer(tmp_path: Path, services: tuple[Service, ...]) -> bytes:
    return host_bundle(tmp_path, services, sequence=2, version="2.0")


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Cut:
    """Return a function that installs until the power goes at the end of a step, before the journal has that."""

    def run(host: Host, bundle: bytes, step: str) -> None:
        with monkeypatch.context() as patch:
            module = next(one for one in STEPS if step == one.NAME)
            real = module.apply

            def apply(job: object) -> None:
                real(job)  # type: ignore[arg-type]
                # Nothing is undone where nothing runs any more.
                patch.setattr(applying, "take_back", lambda *_: [])
                raise PowerCutError

            patch.setattr(module, "apply", apply)
            with pytest.raises(PowerCutError):
                host.install(bundle, "agent.PROMPT=x")

    return run


def events(host: Host) -> list[tuple[str, str]]:
    return [(line.event["kind"], line.event["outcome"]) for line in audit.read(host.layout.audit)]


STEP_NAMES = ["launcher", "store", "trust", "marks", "release", "settings", "units", "switch", "services", "health"]


@pytest.mark.parametrize("step", STEP_NAMES)
def test_a_first_install_that_was_cut_off_is_finished_without_the_medium(
    host: Host, bundle: bytes, cut: Cut, step: str, tmp_path: Path
) -> None:
    cut(host, bundle, step)
    assert where_unfinished(host.layout) == step
    if step != "launcher":
        host.put(b"")
    found = host.resume()
    assert isinstance(found, Outcome)
    assert (where_unfinished(host.layout), find_pending(host.layout)) == (None, None)
    assert read_status(host.layout, host.systemd).is_healthy
    assert "PROMPT=x\n" in (host.layout.settings / "agent.env").read_text()
    assert host.resume() is None, "nothing is left to be finished"
    assert host.install(bundle).plan.actions == ()


@pytest.mark.parametrize("step", STEP_NAMES)
def test_a_first_install_that_was_cut_off_is_taken_back_to_nothing(
    host: Host, bundle: bytes, cut: Cut, step: str
) -> None:
    before = host.listing()
    cut(host, bundle, step)
    found = host.rollback()
    assert isinstance(found, TakenBack)
    assert (found.product, found.steps[-1], found.release) == ("sample 1.0", step, None)
    assert host.listing() == before
    assert host.systemd.enabled == set()


@pytest.mark.parametrize("step", [name for name in STEP_NAMES if name not in ("launcher", "trust", "units")])
def test_an_upgrade_that_was_cut_off_is_taken_back_to_the_release_before(
    host: Host, bundle: bytes, newer: bytes, cut: Cut, step: str
) -> None:
    host.install(bundle)
    (host.layout.data("agent")[0]).mkdir(parents=True)
    (host.layout.data("agent")[0] / "kept").write_text("what the service knows")
    before, marks = host.listing(), read_marks(host.layout)
    cut(host, newer, step)
    found = host.rollback()
    assert isinstance(found, TakenBack)
    assert found.release is not None
    assert (found.product, found.release.version, found.problem) == ("sample 2.0", "1.0", "")
    assert host.listing() == before
    assert read_marks(host.layout).products == marks.products, "it never ran here"
    assert read_status(host.layout, host.systemd).is_healthy
    assert events(host)[-2:] == [("rollback", "begun"), ("rollback", "done")]
    host.install(newer)
    assert read_status(host.layout, host.systemd).release.version == "2.0"


def test_what_a_second_run_fails_at_is_undone_to_where_the_first_began(
    host: Host, bundle: bytes, newer: bytes, cut: Cut
) -> None:
    host.install(bundle)
    before = host.listing()
    cut(host, newer, "switch")
    host.systemd.broken_once["ferry-agent.service"] = 1
    with pytest.raises(HostError) as caught:
        host.install(newer)
    assert caught.value.hint == ("step health failed; this host is as it was before; sample 1.0 (release 1) runs again")
    assert host.listing() == before
    assert where_unfinished(host.layout) is None


def test_another_bundle_waits_until_the_one_that_was_cut_off_is_finished_or_taken_back(
    host: Host, bundle: bytes, newer: bytes, cut: Cut
) -> None:
    cut(host, bundle, "switch")
    with pytest.raises(HostError) as caught:
        host.install(newer)
    assert str(caught.value) == "expected sample 1.0, whose install was cut off at step switch, got sample 2.0"
    assert caught.value.hint == "finish that one: ferry host resume; or take it back: ferry host rollback"
    with pytest.raises(HostError) as caught:
        host.rollback(to=1)
    assert str(caught.value) == (
        "--to: expected no release to choose: sample 1.0, whose install was cut off at step switch"
    )
    host.rollback()
    host.install(newer)


def test_parts_that_had_not_come_need_the_medium(host: Host, bundle: bytes, cut: Cut, tmp_path: Path) -> None:
    cut(host, bundle, "launcher")
    host.put(b"").unlink()
    with pytest.raises(HostError) as caught:
        host.resume()
    assert caught.value.message.startswith("expected all 7 parts of sample 1.0 in this host's store, 7 (")
    assert (caught.value.hint or "").startswith("bring its bundle: ferry host resume BUNDLE; step store failed")
    assert host.resume() is None


def test_an_undo_that_was_cut_off_is_what_a_resume_goes_on_with(
    host: Host, bundle: bytes, newer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.install(bundle)
    before = host.listing()
    host.systemd.broken_once["ferry-agent.service"] = 1
    module = next(one for one in STEPS if one.NAME == "switch")
    with monkeypatch.context() as patch:

        def undo(job: object) -> None:
            raise PowerCutError

        patch.setattr(module, "undo", undo)
        with pytest.raises(PowerCutError):
            host.install(newer)
    assert where_unfinished(host.layout) == "health"
    found = host.resume()
    assert isinstance(found, TakenBack)
    assert host.listing() == before
    assert read_status(host.layout, host.systemd).is_healthy


def test_what_cannot_be_undone_is_told_and_tried_again(
    host: Host, bundle: bytes, newer: bytes, monkeypatch: pytest.MonkeyPatch, cut: Cut
) -> None:
    host.install(bundle)
    before = host.listing()
    cut(host, newer, "switch")
    module = next(one for one in STEPS if one.NAME == "settings")
    with monkeypatch.context() as patch:

        def undo(job: object) -> None:
            raise HostError("the disk is broken")

        patch.setattr(module, "undo", undo)
        with pytest.raises(HostError) as caught:
            host.rollback()
    assert str(caught.value) == (
        "expected to undo all of sample 2.0, this could not be undone: settings: the disk is broken"
    )
    assert caught.value.hint == "mend that, then run ferry host rollback again"
    assert outcome(host.layout.journal, 3) == "half undone"
    assert not read_status(host.layout, host.systemd).is_healthy
    host.rollback()
    assert host.listing() == before


def test_an_earlier_release_runs_again_and_nothing_is_forgotten(host: Host, bundle: bytes, newer: bytes) -> None:
    host.install(bundle)
    host.install(newer)
    marks = read_marks(host.layout).products
    (host.layout.data("agent")[0]).mkdir(parents=True)
    host.put(b"")
    found = host.rollback()
    assert isinstance(found, Outcome)
    assert [done.action.step for done in found.done] == ["stop", "switch", "services", "health"]
    assert host.layout.current.readlink() == Path("releases/1")
    status = read_status(host.layout, host.systemd)
    assert (status.is_healthy, status.release.version) == (True, "1.0")
    assert host.layout.data("agent")[0].is_dir()
    assert read_marks(host.layout).products == marks
    last = [dict(line.event) for line in audit.read(host.layout.audit)][-1]
    assert (last["kind"], last["outcome"], last["from_release"], last["release"]) == ("rollback", "done", "2", "1")
    with pytest.raises(HostError) as caught:
        host.rollback()
    assert str(caught.value) == "expected a release before the one that runs (1), on record are 1, 2"
    host.rollback(to=2)
    assert read_status(host.layout, host.systemd).release.version == "2.0"


def test_a_release_past_its_end_is_still_one_to_go_back_to(
    host: Host, tmp_path: Path, services: tuple[Service, ...], newer: bytes
) -> None:
    old = host_bundle(tmp_path, services, expires="2026-02-01T00:00:00Z")
    host.install(old, accept_expired=True)
    host.install(newer)
    host.rollback()
    assert read_status(host.layout, host.systemd).release.version == "1.0"
    overrides = [line.event["option"] for line in audit.read(host.layout.audit) if line.event["kind"] == "override"]
    assert overrides == ["--accept-expired-bundle", "--accept-expired-bundle", "--allow-older-sequence"]


def test_a_rollback_to_a_release_that_does_not_come_up_returns(host: Host, bundle: bytes, newer: bytes) -> None:
    host.install(bundle)
    host.install(newer)
    before = host.listing()
    host.systemd.broken_once["ferry-agent.service"] = 1
    with pytest.raises(HostError) as caught:
        host.rollback()
    assert caught.value.hint == ("step health failed; this host is as it was before; sample 2.0 (release 2) runs again")
    assert caught.value.details == {"returned": {"product": "sample 2.0", "release": "2", "ready": True}}
    assert events(host)[-3:] == [("rollback", "begun"), ("return", "done"), ("rollback", "failed")]
    assert host.listing() == before


def test_a_release_that_does_not_come_up_any_more_is_told(host: Host, bundle: bytes, newer: bytes) -> None:
    host.install(bundle)
    host.systemd.broken.add("ferry-agent.service")
    with pytest.raises(HostError) as caught:
        host.install(newer)
    assert (caught.value.hint or "").endswith(
        "sample 1.0 (release 1) runs again, but is not healthy: services: agent: expected ferry-agent.service "
        "to become ready, it ended (failed, started again 0 times)"
    )
    assert events(host)[-2:] == [("return", "failed"), ("install", "failed")]


@pytest.mark.parametrize(
    ("to", "message"),
    [
        (3, "--to: expected a release that is on record (1, 2), got 3"),
        (2, "--to: expected another release than 2, which runs already"),
    ],
)
def test_a_choice_that_cannot_be_met_is_refused(host: Host, bundle: bytes, newer: bytes, to: int, message: str) -> None:
    host.install(bundle)
    host.install(newer)
    with pytest.raises(HostError) as caught:
        host.rollback(to)
    assert str(caught.value) == message


def test_a_host_without_anything_has_nothing_to_go_back_to(host: Host) -> None:
    with pytest.raises(HostError) as caught:
        host.rollback()
    assert str(caught.value) == "expected a release before the one that runs (none), on record are none"


def test_a_dry_run_changes_nothing(host: Host, bundle: bytes, newer: bytes, cut: Cut) -> None:
    host.install(bundle)
    host.install(newer)
    before = host.listing()
    found = host.rollback(dry_run=True)
    assert isinstance(found, Outcome)
    assert [action.step for action in found.plan.actions] == ["stop", "switch", "services", "health"]
    assert (found.done, host.listing()) == ((), before)


def test_a_head_with_other_bytes_is_refused(host: Host, bundle: bytes, newer: bytes) -> None:
    host.install(bundle)
    host.install(newer)
    release = read_status(host.layout, host.systemd).release
    first = next(path for path in (host.layout.store / "blobs/sha256").iterdir() if path.read_bytes()[:1] == b"{")
    manifest = _first_manifest(host)
    manifest.write_bytes(manifest.read_bytes().replace(b"1.0", b"1.1"))
    with pytest.raises(IntegrityError) as caught:
        host.rollback()
    assert str(caught.value) == f'{manifest}: the stored "ferry.json" has other bytes than when it came'
    assert release.version == "2.0"
    assert first.exists()


def _first_manifest(host: Host) -> Path:
    record = (host.layout.records / "1.json").read_text()
    blobs = (host.layout.store / "blobs/sha256").iterdir()
    return next(
        path for path in blobs if path.read_bytes().startswith(b"{") and f'"manifest_sha256": "{path.name}"' in record
    )


def test_a_damaged_record_of_what_was_begun_is_told(host: Host, bundle: bytes, cut: Cut) -> None:
    cut(host, bundle, "switch")
    place = find_pending(host.layout)
    assert place is not None
    assert place.stat().st_mode & 0o777 == 0o600
    whole = place.read_bytes()
    place.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(IntegrityError) as caught:
        host.resume()
    assert caught.value.message.startswith("expected what Ferry wrote down of a _Record, got something else: ")
    place.write_bytes(whole)
    assert hashlib.sha256(place.read_bytes()).digest() == hashlib.sha256(whole).digest()
    host.resume()
    assert read_status(host.layout, host.systemd).is_healthy
