"""The inbox: bundles that wait are installed in their window, and go on to done or refused."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import datetime, time
from pathlib import Path

import pytest
from hosts import Host, host_bundle

from bundler.errors import HostError, IntegrityError
from bundler.installer.inbox import places
from bundler.installer.inbox.watch import Look, look
from bundler.installer.inbox.window import Window, parse_window
from bundler.installer.journal import exclusive
from bundler.installer.pending import where_unfinished
from bundler.installer.status import read_status
from bundler.installer.steps import STEPS
from bundler.model.service import Service
from keystore import audit


@pytest.fixture
def newer(tmp_path: Path, services: tuple[Service, ...]) -> bytes:
    return host_bundle(tmp_path, services, sequence=2, version="2.0")


def put(host: Host, name: str, data: bytes) -> Path:
    places.make_places(host.layout)
    path = host.layout.inbox / name
    path.write_bytes(data)
    return path


def look_at(host: Host, hour: int = 12) -> Look:
    return look(host.session(), lambda now: now.replace(hour=hour))


def names(host: Host, directory: str) -> list[str]:
    return sorted(path.name for path in (host.layout.inbox / directory).iterdir())


def last_event(host: Host) -> dict[str, str]:
    return dict(list(audit.read(host.layout.audit))[-1].event)


def test_a_bundle_that_waits_is_installed_and_done(host: Host, bundle: bytes, newer: bytes) -> None:
    host.install(bundle)
    put(host, "b.tar", newer)
    found = look_at(host)
    assert [(one.name, one.error) for one in found.handled] == [("b.tar", None)]
    assert read_status(host.layout, host.systemd).release.version == "2.0"
    assert names(host, "done") == ["b.tar", "b.tar.json"]
    told = json.loads((host.layout.inbox / "done/b.tar.json").read_text())
    assert (told["product"], told["release"], told["at"]) == ("sample 2.0", 2, "2026-11-23T12:00:00Z")
    event = last_event(host)
    assert (event["kind"], event["outcome"], event["inbox"]) == ("inbox", "done", "b.tar")
    assert look_at(host) == Look(handled=(), waits=(), window="")


def test_what_is_refused_stands_beside_its_reason(host: Host, bundle: bytes, newer: bytes) -> None:
    host.install(bundle)
    put(host, "a.tar", newer[:-1] + b"\1")
    put(host, "b.tar", b"no bundle")
    found = look_at(host)
    assert [one.error.exit_code for one in found.handled if one.error] == [6, 6]
    assert names(host, "refused") == ["a.tar", "a.tar.reason", "b.tar", "b.tar.reason"]
    assert (host.layout.inbox / "refused/b.tar.reason").read_text() == (
        "refused: b.tar\n"
        "at: 2026-11-23T12:00:00Z\n"
        'error: ferry.json: expected the entry "ferry.json", the file is not a bundle\n'
        "exit code: 6\n"
    )
    assert (last_event(host)["kind"], last_event(host)["outcome"]) == ("inbox", "refused")
    assert read_status(host.layout, host.systemd).release.version == "1.0"


def test_one_that_is_not_healthy_returns_and_those_behind_it_wait(
    host: Host, bundle: bytes, newer: bytes, tmp_path: Path, services: tuple[Service, ...]
) -> None:
    host.install(bundle)
    put(host, "a.tar", newer)
    put(host, "b.tar", host_bundle(tmp_path, services, sequence=3, version="3.0"))
    host.systemd.broken_once["ferry-agent.service"] = 1
    found = look_at(host)
    assert [one.name for one in found.handled] == ["a.tar"]
    assert found.waits == ("b.tar",)
    reason = (host.layout.inbox / "refused/a.tar.reason").read_text()
    assert "hint: step health failed; this host is as it was before; sample 1.0 (release 1) runs again\n" in reason
    assert read_status(host.layout, host.systemd).is_healthy
    assert read_status(host.layout, host.systemd).release.version == "1.0"


def test_outside_the_window_everything_waits(host: Host, bundle: bytes, newer: bytes) -> None:
    host.install(bundle)
    path = put(host, "b.tar", newer)
    host.layout.inbox_settings.write_text('{"window": "01:00-05:00"}\n')
    assert look_at(host) == Look(handled=(), waits=("b.tar",), window="01:00-05:00")
    assert path.exists()
    assert [one.name for one in look_at(host, hour=4).handled] == ["b.tar"]


def test_a_copy_that_goes_on_and_other_names_are_left_alone(host: Host, bundle: bytes, newer: bytes) -> None:
    host.install(bundle)
    path = put(host, "b.tar", newer[:1000])
    put(host, "c.tar.part", b"")
    put(host, ".d.tar", b"")
    with path.open("ab") as stream:
        assert look_at(host) == Look(handled=(), waits=("b.tar",), window="")
        stream.write(newer[1000:])
    assert [one.error for one in look_at(host).handled] == [None]
    assert (host.layout.inbox / "c.tar.part").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "two names"])
def test_what_is_no_file_of_its_own_is_refused(host: Host, bundle: bytes, newer: bytes, kind: str) -> None:
    host.install(bundle)
    place = put(host, "x", newer)
    path = host.layout.inbox / "b.tar"
    if kind == "link":
        path.symlink_to(place)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.hardlink_to(place)
    (one,) = look_at(host).handled
    assert isinstance(one.error, IntegrityError)
    assert one.error.message.startswith("expected a regular file")
    assert read_status(host.layout, host.systemd).release.version == "1.0"


def test_nothing_is_looked_at_while_another_run_is_at_work(host: Host, bundle: bytes, newer: bytes) -> None:
    host.install(bundle)
    put(host, "b.tar", newer)
    with exclusive(host.layout.run):
        assert look_at(host) == Look(handled=(), waits=("b.tar",), window="")
    assert len(look_at(host).handled) == 1


def test_a_host_without_a_release_takes_none_from_the_inbox(host: Host, bundle: bytes) -> None:
    put(host, "a.tar", bundle)
    (one,) = look_at(host).handled
    assert str(one.error) == "expected a trusted key, this host knows none yet"


def test_a_bundle_whose_install_was_cut_off_is_finished_even_outside_the_window(
    host: Host, bundle: bytes, newer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PowerCutError(BaseException):
        pass

    def cut(*_: object) -> None:
        raise PowerCutError

    host.install(bundle)
    put(host, "b.tar", newer)
    module = next(one for one in STEPS if one.NAME == "switch")
    with monkeypatch.context() as patch:
        patch.setattr(module, "apply", cut)
        patch.setattr("bundler.installer.apply.take_back", cut)
        with pytest.raises(PowerCutError):
            look_at(host)
    assert where_unfinished(host.layout) == "switch"
    assert names(host, "work") == ["b.tar"]
    host.layout.inbox_settings.write_text('{"window": "01:00-05:00"}\n')
    assert [(one.name, one.error) for one in look_at(host).handled] == [("b.tar", None)]
    assert names(host, "done") == ["b.tar", "b.tar.json"]
    assert read_status(host.layout, host.systemd).release.version == "2.0"


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [("01:00-05:00", ["01:00", "04:59"], ["05:00", "00:59"]), ("22:30-02:00", ["22:30", "01:59"], ["02:00", "22:29"])],
)
def test_a_window_holds_its_minutes(text: str, inside: list[str], outside: list[str]) -> None:
    window = parse_window(text, place="x")
    assert isinstance(window, Window)
    assert str(window) == text

    def at(value: str) -> datetime:
        return datetime.combine(datetime(2026, 1, 1), time.fromisoformat(value)).astimezone()

    assert all(window.holds(at(value)) for value in inside)
    assert not any(window.holds(at(value)) for value in outside)


@pytest.mark.parametrize("text", ["1:00-5:00", "24:00-01:00", "01:00-01:00", "01:00", "a"])
def test_what_is_no_window_is_refused(text: str) -> None:
    with pytest.raises(HostError) as caught:
        parse_window(text, place="--window")
    assert str(caught.value) == f'--window: expected a window such as "01:00-05:00", got "{text}"'


def test_damaged_settings_are_told(host: Host) -> None:
    host.layout.settings.mkdir(parents=True)
    host.layout.inbox_settings.write_text("{")
    with pytest.raises(IntegrityError) as caught:
        look(replace(host.session()))
    assert str(caught.value) == f"{host.layout.inbox_settings}: expected the settings of the inbox in JSON"
