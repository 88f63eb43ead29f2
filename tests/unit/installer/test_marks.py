"""What a host remembers: raised by installs, sealed, compared with all else that tells of it."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hosts import NOW, Host, host_bundle

from bundler.cli.clock import judged_now
from bundler.errors import HostError, TrustError
from bundler.installer.audit import HostLog
from bundler.installer.layout import Layout
from bundler.installer.marks import NO_LINE, Marks, ProductMark, read_marks, write_marks
from bundler.installer.memory import recall
from bundler.installer.release import read_releases
from bundler.installer.status import read_status
from bundler.installer.uninstall import uninstall
from bundler.model.service import Service
from keystore import audit

HINT = "find out who changed it; to go on with what the release records tell: --accept-lost-marks"
Make = Callable[..., bytes]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that makes a bundle without services."""
    return lambda **changes: host_bundle(tmp_path, (), **changes)


def _events(host: Host) -> list[dict[str, str]]:
    return [dict(line.event) for line in audit.read(host.layout.audit)]


def _refused(host: Host, bundle: bytes, **options: object) -> TrustError:
    before = host.listing()
    with pytest.raises(TrustError) as caught:
        host.install(bundle, **options)
    assert host.listing() == before
    return caught.value


def test_a_first_install_makes_marks_that_root_alone_reads(host: Host, make: Make) -> None:
    host.install(make())
    marks = read_marks(host.layout)
    release = read_releases(host.layout.records)[0]
    mark = ProductMark(sequence=1, version="1.0", manifest_sha256=release.manifest_sha256)
    assert (marks.counter, marks.last_seen, marks.products) == (1, NOW, {"sample": mark})
    assert recall(host.layout, (release,)).marks == marks
    modes = {path.name: path.stat().st_mode & 0o777 for path in host.layout.memory.iterdir()}
    assert modes == {"marks.json": 0o600, "secret": 0o600}
    assert host.layout.memory.stat().st_mode & 0o777 == 0o700
    assert host.layout.audit.stat().st_mode & 0o777 == 0o600
    assert host.layout.audit.parent.stat().st_mode & 0o777 == 0o700
    assert host.layout.state.stat().st_mode & 0o777 == 0o755


def test_a_second_install_leaves_marks_and_log_alone(host: Host, make: Make) -> None:
    host.install(make())
    before = host.layout.marks.read_bytes(), host.layout.audit.read_bytes()
    host.now = NOW + timedelta(days=40)
    assert host.install(make()).plan.actions == ()
    assert (host.layout.marks.read_bytes(), host.layout.audit.read_bytes()) == before


def test_marks_go_up_and_stay(host: Host, make: Make) -> None:
    host.install(make(sequence=5, version="5"))
    reason = "sequence 7 of sample is above 5, the highest so far"
    actions = host.install(make(sequence=7, version="7")).plan.actions
    assert {action.step: action.reason for action in actions}["marks"] == reason
    host.install(make(sequence=5, version="5"), allow_older=True)
    assert read_marks(host.layout).products["sample"].version == "7"
    # The one that runs is mended without a word; the one between is refused, whatever runs.
    assert host.install(make(sequence=5, version="5")).plan.actions == ()
    assert str(_refused(host, make(sequence=6, version="6"))) == (
        "ferry.json: sequence: expected sequence 7 or higher, got 6: this host has had 7 with sequence 7"
    )
    host.install(make(sequence=7, version="7"))


def test_a_failed_install_can_be_repeated_and_another_one_too(
    host: Host, tmp_path: Path, services: tuple[Service, ...]
) -> None:
    host.install(host_bundle(tmp_path, services))
    before = read_marks(host.layout)
    host.systemd.broken_once["ferry-agent.service"] = 1
    with pytest.raises(HostError, match="to become ready"):
        host.install(host_bundle(tmp_path, services, sequence=2, version="2.0"))
    after = read_marks(host.layout)
    assert (after.products, after.counter > before.counter) == (before.products, True)
    assert [event["outcome"] for event in _events(host)] == ["begun", "done", "done", "begun", "done", "failed"]
    assert _events(host)[-2]["kind"] == "return"
    assert _events(host)[-1]["error"].startswith("services: agent: expected ferry-agent.service to become ready")
    host.install(host_bundle(tmp_path, services, sequence=2, version="2.1"))
    assert read_marks(host.layout).products["sample"].version == "2.1"


def test_marks_outlive_an_uninstall_that_keeps_data(host: Host, make: Make) -> None:
    host.install(make(sequence=2, version="2.0"))
    uninstall(host.layout, host.systemd, keep_data=True, now=NOW)
    assert str(_refused(host, make())) == (
        "ferry.json: sequence: expected sequence 2 or higher, got 1: this host has had 2.0 with sequence 2"
    )
    host.install(make(sequence=2, version="2.0"))
    assert audit.verify(host.layout.audit).count == 10
    assert [event["kind"] for event in _events(host)] == [
        *["install", "trust-anchor", "install"],
        *["uninstall", "trust-anchor", "uninstall"],
        "install",
        *["install", "trust-anchor", "install"],
    ]


def test_an_uninstall_where_nothing_is_leaves_nothing(host: Host) -> None:
    before = host.listing()
    assert uninstall(host.layout, host.systemd, keep_data=True, now=NOW) == ()
    assert host.listing() == before


def test_a_failed_install_after_that_leaves_what_was_kept(host: Host, tmp_path: Path, services: object) -> None:
    bundle = host_bundle(tmp_path, services)  # type: ignore[arg-type]
    host.install(bundle)
    uninstall(host.layout, host.systemd, keep_data=True, now=NOW)
    before = host.listing()
    host.systemd.broken.add("ferry-agent.service")
    with pytest.raises(HostError, match="to become ready"):
        host.install(bundle)
    assert host.listing() == before
    assert _events(host)[-1]["outcome"] == "failed"
    host.systemd.broken.clear()
    host.install(bundle)


def _alter(host: Host) -> None:
    host.layout.marks.write_text(host.layout.marks.read_text().replace('"sequence": 3', '"sequence": 1'))


def _put_back_marks(host: Host, old: Path) -> None:
    shutil.copy(old / "marks.json", host.layout.marks)


def _put_back_both(host: Host, old: Path) -> None:
    _put_back_marks(host, old)
    shutil.copy(old / "audit.jsonl", host.layout.audit)


def _cut_log(host: Host) -> None:
    lines = host.layout.audit.read_bytes().splitlines(keepends=True)
    host.layout.audit.write_bytes(b"".join(lines[:3]))


def _change_log(host: Host) -> None:
    host.layout.audit.write_bytes(host.layout.audit.read_bytes().replace(b'"user":"li"', b'"user":"wu"', 1))


LOST: dict[str, tuple[Callable[[Host, Path], object], str]] = {
    "deleted": (
        lambda host, old: host.layout.marks.unlink(),
        "{marks}: expected the marks of this host, which has had sample 3, got none",
    ),
    "altered": (
        lambda host, old: _alter(host),
        "{marks}: expected a document that this host sealed, got another, or it was altered",
    ),
    "no document": (
        lambda host, old: host.layout.marks.write_bytes(b"\0\0\0"),
        "{marks}: expected a JSON object, got something else",
    ),
    "secret deleted": (
        lambda host, old: host.layout.secret.unlink(),
        "{secret}: expected a usable file or directory, got 'no such file or directory'",
    ),
    "secret for all to read": (
        lambda host, old: host.layout.secret.chmod(0o644),
        "{secret}: expected mode 0600, got 0644",
    ),
    "secret of another host": (
        lambda host, old: host.layout.secret.write_bytes(bytes(32)),
        "{marks}: expected a document that this host sealed, got another, or it was altered",
    ),
    "older put back": (
        _put_back_marks,
        "{marks}: expected marks that were written 3 times, as the audit log says, got 1: older ones were put back",
    ),
    "older put back with its log": (
        _put_back_both,
        "{marks}: expected a mark of sequence 2 or higher for sample, as release 2 has it, got 1: "
        "older marks were put back",
    ),
    "log cut": (
        lambda host, old: _cut_log(host),
        "{audit}: expected line 6 with the hash {head}, as the marks say, it is not there: "
        "lines were cut off, or the log was written anew",
    ),
    "log deleted": (
        lambda host, old: host.layout.audit.unlink(),
        "{audit}: expected line 6 with the hash {head}, as the marks say, it is not there: "
        "lines were cut off, or the log was written anew",
    ),
    "log changed": (
        lambda host, old: _change_log(host),
        "{audit}: line 1: expected the hash of this line, got another: it was changed",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_marks_that_cannot_be_believed_stop_an_install_unless_their_loss_is_accepted(
    host: Host, make: Make, tmp_path: Path, name: str
) -> None:
    spoil, message = LOST[name]
    host.install(make())
    old = tmp_path / "old"
    old.mkdir()
    shutil.copy(host.layout.marks, old)
    shutil.copy(host.layout.audit, old)
    host.install(make(sequence=2, version="2"))
    host.install(make(sequence=3, version="3"))
    head = read_marks(host.layout).audit
    spoil(host, old)
    expected = message.format(
        marks=host.layout.marks, secret=host.layout.secret, audit=host.layout.audit, head=head.hash
    )
    refused = _refused(host, make(sequence=4, version="4"))
    assert (str(refused), refused.hint) == (expected, HINT)
    remembered = read_status(host.layout, host.systemd).remembered
    assert remembered is not None
    assert remembered.problem == expected

    # Made anew they are as high as the records: the way back stays shut.
    refused = _refused(host, make(sequence=2, version="2"), accept_lost=True)
    assert str(refused).endswith("expected sequence 3 or higher, got 2: this host has had 3 with sequence 3")
    host.install(make(sequence=3, version="3"), accept_lost=True)
    override = next(event for event in _events(host) if event["kind"] == "override")
    assert (override["option"], override["refused"]) == ("--accept-lost-marks", expected)
    assert (host.layout.state / "audit.1").exists() == (name == "log changed")
    assert override.get("old_log", "") == (str(host.layout.state / "audit.1") if name == "log changed" else "")
    remembered = read_status(host.layout, host.systemd).remembered
    assert remembered is not None
    assert (remembered.problem, remembered.audit) == ("", audit.verify(host.layout.audit))
    host.install(make(sequence=4, version="4"))


def test_a_host_without_releases_needs_no_marks(host: Host, make: Make) -> None:
    host.install(make(sequence=2))
    uninstall(host.layout, host.systemd, keep_data=True, now=NOW)
    host.layout.marks.unlink()
    host.install(make())
    assert audit.verify(host.layout.audit).count == 9
    assert read_marks(host.layout).counter > 1


def test_an_end_is_judged_by_the_latest_time_seen(host: Host, make: Make) -> None:
    host.install(make())
    ends = make(sequence=2, expires="2026-10-01T00:00:00Z")
    host.now = datetime(2020, 1, 1, tzinfo=UTC)
    refused = _refused(host, ends)
    assert str(refused) == (
        "ferry.json: expires: the bundle expired at 2026-10-01T00:00:00Z, it is 2026-11-23T12:00:00Z"
    )
    assert host.install(ends, accept_expired=True).judged_at == NOW
    override = next(event for event in _events(host) if event["kind"] == "override")
    assert (override["option"], override["from"], override["to"]) == (
        "--accept-expired-bundle",
        "2026-10-01T00:00:00Z",
        "2026-11-23T12:00:00Z",
    )
    assert read_marks(host.layout).last_seen == NOW


def test_a_clock_that_once_stood_too_far_ahead_can_be_mended(host: Host, make: Make) -> None:
    host.now = datetime(2099, 1, 1, tzinfo=UTC)
    host.install(make(expires=""))
    host.now = NOW
    assert str(_refused(host, make(sequence=2))) == (
        "ferry.json: expires: the bundle expired at 2030-01-01T00:00:00Z, it is 2099-01-01T00:00:00Z"
    )
    host.layout.marks.unlink()
    host.install(make(sequence=2), accept_lost=True)
    assert read_marks(host.layout).last_seen == NOW
    assert "--accept-lost-marks" in host.layout.audit.read_text()


def test_the_latest_time_is_also_when_a_bundle_was_made(host: Host, make: Make) -> None:
    host.install(make(created="2027-03-01T00:00:00Z"))
    assert read_marks(host.layout).last_seen == datetime(2027, 3, 1, tzinfo=UTC)
    host.install(make(sequence=2, created="2027-02-01T00:00:00Z"))
    assert read_marks(host.layout).last_seen == datetime(2027, 3, 1, tzinfo=UTC)


def test_the_latest_time_goes_up_with_every_run_that_does_something(host: Host, make: Make) -> None:
    host.install(make())
    host.layout.launcher.unlink()
    host.now = NOW + timedelta(days=3)
    assert [done.action.step for done in host.install(make()).done] == ["launcher"]
    assert read_marks(host.layout).last_seen == NOW + timedelta(days=3)


def test_revocations_are_remembered_by_anchor() -> None:
    marks = Marks().with_revocations({"a": 3, "b": 1})
    assert [marks.oldest_revocations(anchor) for anchor in "abc"] == [3, 1, 0]
    assert marks.with_revocations({"a": 2, "c": 9}).revocations == {"a": 3, "b": 1, "c": 9}


def test_marks_come_back_as_they_were_written(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path)
    assert read_marks(layout) == Marks()
    mark = ProductMark(sequence=3, version="3.1", manifest_sha256="a" * 64)
    marks = Marks(products={"sample": mark}, revocations={"k": 2}).with_time(NOW)
    written = write_marks(layout, marks)
    assert (written.counter, written.audit) == (1, NO_LINE)
    assert read_marks(layout) == written
    assert write_marks(layout, written).counter == 2


def test_a_clock_that_was_set_back_is_told_with_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    layout = Layout(root=tmp_path)
    assert abs(judged_now(layout) - datetime.now(UTC)) < timedelta(minutes=1)
    assert capsys.readouterr().err == ""
    seen = (datetime.now(UTC) + timedelta(days=412, hours=1)).replace(microsecond=0)
    write_marks(layout, Marks().with_time(seen))
    assert judged_now(layout) == seen
    said = capsys.readouterr().err
    assert said.startswith("warning: this host's clock says ")
    assert said.endswith(
        f"Z, 412 days before {seen:%Y-%m-%dT%H:%M:%SZ}, the latest time it has seen: ends are judged by that\n"
    )


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become a user who is not")
def test_who_may_not_read_the_marks_judges_by_the_clock() -> None:
    # What pytest makes is for its user alone; here the memory itself must stop others.
    with tempfile.TemporaryDirectory() as root:
        Path(root).chmod(0o755)
        layout = Layout(root=Path(root))
        write_marks(layout, Marks().with_time(datetime(2199, 1, 1, tzinfo=UTC)))
        child = os.fork()
        if child == 0:
            os.setuid(65534)
            os._exit(0 if judged_now(layout).year < 2199 else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert judged_now(layout).year == 2199


class _CutOff:
    """Ends a process before its n-th effect on the disk."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, act: Callable[..., object]) -> Callable[..., object]:
        def counted(*words: object, **more: object) -> object:
            self.left -= 1
            if self.left < 0:
                os._exit(77)
            return act(*words, **more)

        return counted


def _dies(layout: Layout, effects: int) -> bool:
    """Raise marks and log in a process that ends before its n-th effect; say whether it did."""
    child = os.fork()
    if child == 0:
        cut_off = _CutOff(effects)
        for name in ("fsync", "pwrite", "ftruncate", "rename", "unlink", "mkdir", "open"):
            setattr(os, name, cut_off(getattr(os, name)))
        log = HostLog(layout=layout, now=NOW)
        log.write("install", "begun")
        marks = read_marks(layout)
        mark = ProductMark(sequence=marks.counter + 1, version="x", manifest_sha256="b" * 64)
        write_marks(layout, marks.with_product("sample", mark))
        log.write("install", "done")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 77)
    return code == 77


@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_a_process_cut_off_anywhere_leaves_old_or_new_marks(tmp_path: Path, first: bool) -> None:
    effects, died, found = 0, True, set()
    while died:
        layout = Layout(root=tmp_path / str(effects))
        if not first:
            _dies(layout, 1000)
        old = read_marks(layout)
        died = _dies(layout, effects)
        marks = recall(layout, ()).marks
        found.add(marks.counter - old.counter)
        assert marks.counter in (old.counter, old.counter + 1)
        assert len(marks.products) == (1 if marks.counter else 0)
        assert not _dies(layout, 1000), "the next run goes on"
        assert recall(layout, ()).marks.counter == marks.counter + 1
        assert audit.verify(layout.audit) == audit.last(layout.audit)
        effects += 1
    assert found == {0, 1}
    assert effects > 10


def test_the_log_tells_the_system_s_log(host: Host, make: Make) -> None:
    import socket

    (host.root / "dev").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as system:
        system.bind(str(host.root / "dev/log"))
        system.settimeout(5)
        host.install(make())
        told = [system.recv(65536).decode() for _ in range(3)]
    lines = list(audit.read(host.layout.audit))
    for text, line in zip(told, lines, strict=True):
        assert text.startswith("<85>ferry[")
        assert f"]: audit {line.seq} {line.hash} {{" in text
        assert json.loads(text[text.index("{") :]) == line.event
