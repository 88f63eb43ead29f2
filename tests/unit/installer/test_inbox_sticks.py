"""Bundles on sticks: installed from where they are, remembered on the host, and nothing is written to the stick."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from bundles import SIGNER
from click.testing import CliRunner
from hosts import NOW, Host, host_bundle

from bundler.archive import read_head
from bundler.checks import Reading
from bundler.cli import host_inbox_status as command
from bundler.errors import HostError, IntegrityError
from bundler.installer.inbox import places
from bundler.installer.inbox.remembered import Remembered, read_remembered, remember
from bundler.installer.inbox.settings import Chosen, parse_stick, read_chosen, write_chosen
from bundler.installer.inbox.units import SERVICE, disable, enable, is_enabled, mount_unit, unit_texts
from bundler.installer.inbox.watch import Look, look
from bundler.installer.inbox.window import parse_window
from bundler.installer.pending import where_unfinished
from bundler.installer.status import read_status
from bundler.installer.steps import STEPS
from bundler.model.service import Service
from bundler.verify import Policy
from bundler.volumes import split
from keystore import audit

STICK = "/media/ferry"


@pytest.fixture
def newer(tmp_path: Path, services: tuple[Service, ...]) -> bytes:
    return host_bundle(tmp_path, services, sequence=2, version="2.0")


@pytest.fixture
def stick(host: Host, bundle: bytes) -> Path:
    """An installed host that looks at a directory for sticks, in which nothing is yet."""
    host.install(bundle)
    write_chosen(host.layout, Chosen(sticks=(STICK, "/mnt/not-there")))
    place = host.layout.at(STICK)
    place.mkdir(parents=True)
    return place


def look_at(host: Host, *, again: bool = False, hour: int = 12, later: timedelta = timedelta()) -> Look:
    session = host.session()
    session = replace(session, log=replace(session.log, now=NOW + later))
    return look(session, lambda now: now.replace(hour=hour), again=again)


def outcomes(found: Look) -> list[tuple[str, str | None]]:
    return [(one.name, one.error.message if one.error else None) for one in found.handled]


def content(stick: Path) -> dict[str, tuple[bytes, int, int]]:
    return {one.name: (one.read_bytes(), one.stat().st_mtime_ns, one.stat().st_ino) for one in stick.iterdir()}


def version(host: Host) -> str:
    return read_status(host.layout, host.systemd).release.version


def known(host: Host) -> list[Remembered]:
    return list(read_remembered(host.layout).values())


def manifest_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.sha256(read_head(stream).manifest).hexdigest()


def cut(directory: Path, data: bytes, *, parity: int = 0) -> list[Path]:
    """Write the volumes of a bundle."""
    whole = directory.parent / "whole.tar"
    whole.write_bytes(data)
    policy = Policy(trusted=(SIGNER.public,))
    return list(split(whole, directory, volume_bytes=46_000, policy=policy, now=NOW, reading=Reading(), parity=parity))


def test_a_bundle_on_a_stick_is_installed_once_and_the_stick_stays_as_it_is(
    host: Host, stick: Path, newer: bytes
) -> None:
    (stick / "b.tar").write_bytes(newer)
    (stick / "notes.txt").write_text("to the operator")
    before = content(stick)
    (one,) = look_at(host).handled
    assert (one.name, one.place, one.error) == ("b.tar", stick / "b.tar", None)
    assert version(host) == "2.0"
    assert content(stick) == before
    assert sorted(path.name for path in host.layout.inbox.iterdir()) == ["done", "handled.json", "refused", "work"]
    assert known(host) == [
        Remembered(
            manifest_sha256=manifest_sha256(stick / "b.tar"),
            outcome="done",
            at="2026-11-23T12:00:00Z",
            path=str(stick / "b.tar"),
            product="sample 2.0",
            release=2,
        )
    ]
    event = list(audit.read(host.layout.audit))[-1].event
    assert (event["kind"], event["outcome"], event["stick"]) == ("inbox", "done", str(stick / "b.tar"))
    count = audit.last(host.layout.audit).count
    assert look_at(host, again=True) == Look(handled=(), waits=(), window="")
    assert audit.last(host.layout.audit).count == count


def test_what_was_refused_is_tried_again_only_when_the_operator_says_so(host: Host, stick: Path, newer: bytes) -> None:
    (stick / "b.tar").write_bytes(newer)
    host.systemd.broken_once["ferry-agent.service"] = 1
    (one,) = look_at(host).handled
    assert one.error is not None
    assert (one.error.exit_code, one.interrupted) == (8, False)
    (told,) = known(host)
    assert (told.outcome, told.exit_code, told.error) == ("refused", 8, str(one.error))
    assert told.hint == "step health failed; this host is as it was before; sample 1.0 (release 1) runs again"
    assert version(host) == "1.0"
    assert look_at(host, later=timedelta(days=9)) == Look(handled=(), waits=(), window="")
    assert outcomes(look_at(host, again=True)) == [("b.tar", None)]
    assert [one.outcome for one in known(host)] == ["done"]
    assert version(host) == "2.0"


def test_a_damaged_bundle_is_refused_and_those_behind_it_are_installed(host: Host, stick: Path, newer: bytes) -> None:
    (stick / "b.tar").write_bytes(newer)
    (stick / "a.tar").write_bytes(newer[:-1] + b"\1")
    (stick / "c.tar").write_bytes(newer)
    assert [name for name, _ in outcomes(look_at(host))] == ["a.tar"]
    assert [one.outcome for one in known(host)] == ["refused"]
    (stick / "a.tar").unlink()
    assert look_at(host).handled == ()
    assert outcomes(look_at(host, again=True)) == [("b.tar", None)]


def test_what_is_no_bundle_is_left_alone(host: Host, stick: Path, newer: bytes) -> None:
    (stick / "photos.tar").write_bytes(b"no bundle")
    (stick / "._b.tar").write_bytes(b"of a desktop")
    (stick / "b.tar").symlink_to("/etc/passwd")
    os.mkfifo(stick / "c.tar")
    (stick / "d.tar").mkdir()
    (stick / "e.tar.part").write_bytes(newer)
    Path(os.fsdecode(os.fsencode(stick) + b"/\xff\n.tar")).write_bytes(newer)
    count = audit.last(host.layout.audit).count
    assert look_at(host, again=True) == Look(handled=(), waits=(), window="")
    assert known(host) == []
    assert audit.last(host.layout.audit).count == count
    lines = status(host).splitlines()[6:-1]
    assert lines == [
        "  no bundle: b.tar: /media/ferry/b.tar: expected a regular file, got something else",
        "  no bundle: c.tar: /media/ferry/c.tar: expected a regular file, got something else",
        "  no bundle: d.tar: /media/ferry/d.tar: expected a regular file, got something else",
        '  no bundle: photos.tar: ferry.json: expected the entry "ferry.json", the file is not a bundle',
        "  no bundle: \\udcff\\n.tar: expected a file name of printable characters in UTF-8, got another",
    ]


def test_a_stick_that_comes_during_an_install_is_not_missed(
    host: Host, stick: Path, newer: bytes, tmp_path: Path, services: tuple[Service, ...]
) -> None:
    (stick / "b.tar").write_bytes(newer)
    newest = host_bundle(tmp_path, services, sequence=3, version="3.0")

    def agree(*_: object) -> bool:
        other = host.layout.at("/mnt/not-there")
        other.mkdir(parents=True, exist_ok=True)
        (other / "c.tar").write_bytes(newest)
        return True

    found = look(replace(host.session(), agree=agree), lambda now: now)
    assert outcomes(found) == [("b.tar", None), ("c.tar", None)]
    assert version(host) == "3.0"


def test_a_copy_to_the_stick_that_goes_on_and_a_closed_window_are_waited_for(
    host: Host, stick: Path, newer: bytes
) -> None:
    path = stick / "b.tar"
    with path.open("wb") as stream:
        stream.write(newer)
        stream.flush()
        assert look_at(host).handled == ()
    write_chosen(host.layout, replace(read_chosen(host.layout), window=parse_window("01:00-05:00", place="x")))
    assert look_at(host) == Look(handled=(), waits=(str(path),), window="01:00-05:00")
    assert outcomes(look_at(host, hour=3)) == [("b.tar", None)]


def test_volumes_are_one_bundle_once_enough_of_them_are_there(
    host: Host, stick: Path, newer: bytes, tmp_path: Path
) -> None:
    (tmp_path / "volumes").mkdir()
    volumes = cut(tmp_path / "volumes", newer, parity=1)
    assert [volumes[0].name, volumes[-1].name] == ["whole.vol1of5.tar", "whole.parity1of1.tar"]
    for path in volumes[2:]:
        shutil.copy(path, stick)
    assert look_at(host) == Look(handled=(), waits=(), window="")
    assert known(host) == []
    shutil.copy(volumes[1], stick)
    # One volume is missing, and one of parity stands for it.
    assert outcomes(look_at(host)) == [(volumes[1].name, None)]
    assert version(host) == "2.0"
    shutil.copy(volumes[0], stick)
    assert look_at(host).handled == ()


def test_a_stick_pulled_out_before_it_was_read_is_not_refused(host: Host, stick: Path, newer: bytes) -> None:
    path = stick / "b.tar"
    path.write_bytes(newer)

    def pull(*_: object) -> bool:
        path.unlink(missing_ok=True)
        return True

    for tries in (1, 2, 3):
        path.write_bytes(newer)
        session = replace(host.session(), agree=pull)
        (one,) = look(session, lambda now: now).handled
        assert one.error is not None
        assert (one.error.message, one.interrupted) == ("the bundle cannot be read: No such file or directory", True)
        assert [(told.outcome, told.tries) for told in known(host)] == [("interrupted", tries)]
    assert version(host) == "1.0"
    assert where_unfinished(host.layout) is None
    path.write_bytes(newer)
    # A medium that failed three times is left alone for a day.
    assert look_at(host).handled == ()
    assert outcomes(look_at(host, later=timedelta(days=1))) == [("b.tar", None)]
    assert [(told.outcome, told.tries) for told in known(host)] == [("done", 0)]


class PowerCutError(BaseException):
    """The power goes."""


def cut_at(host: Host, step: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off(*_: object) -> None:
        raise PowerCutError

    module = next(one for one in STEPS if step == one.NAME)
    with monkeypatch.context() as patch:
        patch.setattr(module, "apply", cut_off)
        patch.setattr("bundler.installer.apply.take_back", cut_off)
        with pytest.raises(PowerCutError):
            look_at(host)
    assert where_unfinished(host.layout) == step
    write_chosen(host.layout, replace(read_chosen(host.layout), window=parse_window("01:00-05:00", place="x")))


def test_what_the_power_cut_off_is_finished_without_the_stick_once_its_parts_are_here(
    host: Host, stick: Path, newer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stick / "b.tar").write_bytes(newer)
    cut_at(host, "switch", monkeypatch)
    shutil.rmtree(stick)
    assert outcomes(look_at(host)) == [("b.tar", None)]
    assert version(host) == "2.0"
    assert [(told.outcome, told.product) for told in known(host)] == [("done", "sample 2.0")]


def test_what_the_power_cut_off_is_taken_back_when_the_stick_is_gone_and_installed_when_it_is_here_again(
    host: Host, stick: Path, newer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stick / "b.tar").write_bytes(newer)
    cut_at(host, "store", monkeypatch)
    (stick / "b.tar").unlink()
    (one,) = look_at(host).handled
    assert one.interrupted
    assert one.error is not None
    assert one.error.hint == (
        "bring its bundle: ferry host resume BUNDLE; step store failed; this host is as it was before"
    )
    assert (version(host), where_unfinished(host.layout)) == ("1.0", None)
    (stick / "b.tar").write_bytes(newer)
    assert outcomes(look_at(host, hour=3)) == [("b.tar", None)]


def test_of_bundles_that_are_done_the_newest_stay_and_the_others_go_on_record(
    host: Host, stick: Path, newer: bytes
) -> None:
    write_chosen(host.layout, Chosen(keep=1))
    places.make_places(host.layout)
    for at, name in enumerate(("c.tar", "a.tar", "b.tar")):
        path = host.layout.inbox / name
        path.write_bytes(newer)
        os.utime(path, (at, at))
        found = look_at(host)
        assert outcomes(found) == [(name, None)]
        assert found.removed == {"c.tar": (), "a.tar": ("c.tar",), "b.tar": ("a.tar",)}[name]
    assert sorted(path.name for path in (host.layout.inbox / "done").iterdir()) == ["b.tar", "b.tar.json"]
    events = [one.event for one in audit.read(host.layout.audit) if one.event["kind"] == "inbox-removal"]
    assert [(one["outcome"], one["inbox"]) for one in events] == [
        ("begun", "c.tar"),
        ("done", "c.tar"),
        ("begun", "a.tar"),
        ("done", "a.tar"),
    ]


def test_what_is_remembered_is_bounded(host: Host, stick: Path) -> None:
    places.make_places(host.layout)
    place = host.layout.inbox / "handled.json"
    one = Remembered(manifest_sha256="0" * 64, outcome="refused", at="2026-11-23T12:00:00Z", path="x", error="e" * 9999)
    remember(host.layout, one)
    document = json.loads(place.read_text())
    document["bundles"] = [{**document["bundles"][0], "manifest_sha256": f"{number:064}"} for number in range(500)]
    place.write_text(json.dumps(document))
    remember(host.layout, replace(one, manifest_sha256="f" * 64))
    names = list(read_remembered(host.layout))
    assert (len(names), names[0], names[-1]) == (500, f"{1:064}", "f" * 64)
    assert place.stat().st_mode & 0o777 == 0o600
    assert {len(entry.error) for entry in read_remembered(host.layout).values()} == {1000}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ({"format": "x"}, '{place}.format: expected "ferry/handled/v1", got "x"'),
        ({"bundles": [1]}, '{place}.bundles[0]: expected a mapping, got "1"'),
        ({"more": 1}, "{place}.more: unknown field"),
    ],
)
def test_a_damaged_memory_is_told(host: Host, stick: Path, spoil: dict[str, object], message: str) -> None:
    places.make_places(host.layout)
    place = host.layout.inbox / "handled.json"
    place.write_text(json.dumps({"format": "ferry/handled/v1", "bundles": [], **spoil}))
    with pytest.raises(IntegrityError) as caught:
        read_remembered(host.layout)
    assert str(caught.value) == message.format(place=place)
    assert caught.value.hint == "remove the file: bundles on sticks that are in are tried once more then"


@pytest.mark.parametrize(
    "text", ["", "/", "media", "/media/../etc", "/media/a b", "/media/a*", "/media/%i", "/home/li", "/run/user/0"]
)
def test_what_is_no_directory_for_media_is_refused(text: str) -> None:
    with pytest.raises(HostError) as caught:
        parse_stick(text, place="--stick")
    assert str(caught.value) == f'--stick: expected a directory for media such as "/media/ferry", got "{text}"'


@pytest.mark.parametrize("text", ["/media/ferry", "/run/media/li/移动盘", "/mnt/stick-1/bundles", "/data"])
def test_a_directory_for_media_has_the_unit_that_systemd_names(text: str) -> None:
    assert parse_stick(f"{text}/", place="x") == text
    done = subprocess.run(["systemd-escape", "-p", "--suffix=mount", text], capture_output=True, text=True, check=True)
    assert mount_unit(text) == done.stdout.strip()


def test_systemd_takes_the_units_and_sticks_are_read_only_for_them(tmp_path: Path) -> None:
    texts = unit_texts(["/media/ferry", "/run/media/li/移动盘"])
    for name, text in texts.items():
        (tmp_path / name).write_text(text.replace("/usr/local/bin/ferry", "/bin/true"))
    argv = ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in texts)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "ReadOnlyPaths=-/media/ferry\nReadOnlyPaths=-/run/media/li/移动盘\n" in texts[SERVICE]
    mounts = " ".join(mount_unit(path) for path in ("/media", STICK, "/run", "/run/media", "/run/media/li"))
    assert f"WantedBy={mounts} " in texts[SERVICE]


def test_the_choice_is_kept_and_a_disabled_inbox_leaves_nothing(host: Host) -> None:
    chosen = Chosen(window=parse_window("01:00-05:00", place="x"), sticks=(STICK,), keep=7)
    enable(host.layout, host.systemd, chosen)
    assert read_chosen(host.layout) == chosen
    assert host.systemd.enabled == {"ferry-inbox.path", "ferry-inbox.timer", SERVICE}
    enable(host.layout, host.systemd, Chosen())
    assert host.systemd.enabled == {"ferry-inbox.path", "ferry-inbox.timer"}
    assert read_chosen(host.layout) == Chosen(keep=3)
    assert is_enabled(host.layout)
    assert disable(host.layout, host.systemd)
    assert (host.systemd.enabled, list(host.layout.units.glob("ferry-inbox*"))) == (set(), [])


def test_the_settings_of_an_older_ferry_have_a_window_alone(host: Host) -> None:
    host.layout.settings.mkdir(parents=True)
    host.layout.inbox_settings.write_text('{"window": "01:00-05:00"}\n')
    assert read_chosen(host.layout) == Chosen(window=parse_window("01:00-05:00", place="x"))


def test_the_clock_of_a_host_may_go_back(host: Host) -> None:
    one = Remembered(manifest_sha256="0" * 64, outcome="interrupted", at="2026-11-23T12:00:00Z", path="x", tries=3)
    assert one.is_due(datetime.fromisoformat("2020-01-01T00:00:00+00:00"), again=False)
    assert not one.is_due(NOW + timedelta(hours=23), again=False)
    assert one.is_due(NOW, again=True)


def status(host: Host, *options: str) -> str:
    """Return what the command shows, with the paths of the host."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "LAYOUT", host.layout)
        done = CliRunner(env={"LC_ALL": "C.UTF-8"}).invoke(command.status_command, options, catch_exceptions=False)
    assert done.exit_code == 0
    return done.output.replace(str(host.root), "")


def test_the_status_shows_sticks_and_what_became_of_their_bundles(host: Host, stick: Path, newer: bytes) -> None:
    (stick / "b.tar").write_bytes(newer)
    (stick / "photos.tar").write_bytes(b"no bundle")
    assert json.loads(status(host, "--json"))["sticks"][0]["bundles"][0]["state"] == "waiting"
    host.systemd.broken_once["ferry-agent.service"] = 1
    (one,) = look_at(host).handled
    assert status(host) == (
        "/var/lib/ferry/inbox: not watched, any time\n"
        "  waiting: -\n"
        "  in work: -\n"
        "  done: -\n"
        "  refused: -\n"
        "/media/ferry: stick\n"
        f"  refused: b.tar: {one.error} (2026-11-23T12:00:00Z)\n"
        '  no bundle: photos.tar: ferry.json: expected the entry "ferry.json", the file is not a bundle\n'
        "/mnt/not-there: nothing is there\n"
    )
    look_at(host, again=True)
    assert "  done: b.tar (sample 2.0, release 2, 2026-11-23T12:00:00Z)\n" in status(host)
    found = json.loads(status(host, "--json"))
    assert [stick["there"] for stick in found["sticks"]] == [True, False]
    assert [(one["outcome"], one["release"], one["error"]) for one in found["handled"]] == [("done", 2, None)]
