"""The journal: what was done stands in it, and a run without an end is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hosts import Host

from bundler.errors import HostError
from bundler.installer.journal import Journal, unfinished_step
from bundler.installer.status import read_status


def events(path: Path) -> list[tuple[str, str]]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [(record["event"], record.get("step", record.get("outcome", ""))) for record in records]


def test_each_step_is_told_before_and_after(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    host.systemd.stop(["ferry-agent.service"])
    host.install(bundle)
    assert events(host.layout.journal / "000002.jsonl") == [
        ("plan", ""),
        ("begin", "services"),
        ("done", "services"),
        ("begin", "health"),
        ("done", "health"),
        ("ended", "done"),
    ]


def test_an_undone_run_is_told(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    host.systemd.stop(["ferry-agent.service"])
    host.systemd.broken = {"ferry-agent.service"}
    with pytest.raises(HostError, match="the last words"):
        host.install(bundle)
    assert events(host.layout.journal / "000002.jsonl")[-5:] == [
        ("begin", "health"),
        ("turned", ""),
        ("undone", "health"),
        ("undone", "services"),
        ("ended", "undone"),
    ]


def test_no_journal_is_no_unfinished_run(tmp_path: Path) -> None:
    assert unfinished_step(tmp_path / "none") is None


def test_a_run_without_an_end_is_noticed_with_its_step(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert unfinished_step(tmp_path) == ""
    journal.write("begin", step="store")
    journal.write("begin", step="release")
    with (tmp_path / "000001.jsonl").open("a") as stream:
        stream.write('{"event": "done", "st')
    assert unfinished_step(tmp_path) == "release"
    journal.end("done")


def test_the_run_after_a_cut_off_one_ends_it(host: Host, bundle: bytes) -> None:
    host.install(bundle)
    Journal(host.layout.journal).write("begin", step="switch")
    assert not read_status(host.layout, host.systemd).is_healthy
    outcome = host.install(bundle)
    assert host.asked is not None
    assert (host.asked[1], outcome.plan.actions) == ("switch", ())
    assert read_status(host.layout, host.systemd).is_healthy
