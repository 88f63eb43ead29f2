"""The power of a machine goes in the middle of an install: it is finished or taken back, nothing is left half done."""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from command import CHECKOUT, ferry
from machine import Machine
from powercut import after, begin, call, contents, cut_power, differing, reached, runs, unpack_script

pytestmark = [pytest.mark.e2e, pytest.mark.network]
HELLO, BAD = "/mnt/stick/hello.tar", "/mnt/stick/bad.tar"
FULL = bool(os.environ.get("FERRY_FULL"))
needs_time = pytest.mark.skipif(not FULL, reason="takes minutes: scripts/test.sh --full")
STEPS = ["launcher", "store", "trust", "marks", "release", "units", "switch", "services", "health"]
# Seconds after the start of install.sh; an install takes about five.
RANDOM = [round(random.Random(number).uniform(0.3, 6), 2) for number in range(12)]
WAYS = ["resume", "rollback"]


@pytest.fixture(scope="module")
def bad(stick: Path, keystore: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An upgrade of hello whose service works where it is built, and not on a host."""
    recipe = tmp_path_factory.mktemp("bad") / "hello"
    shutil.copytree(CHECKOUT / "recipes/hello", recipe)
    for path, old, new in (
        ("recipe.yaml", "sequence: 1", "sequence: 2"),
        ("recipe.yaml", 'version: "1.0.0"', 'version: "1.1.0"'),
        ("service/hello.py", "    try:\n", '    if os.path.exists("/opt/ferry"):\n        return 3\n    try:\n'),
    ):
        text = (recipe / path).read_text()
        assert old in text
        (recipe / path).write_text(text.replace(old, new, 1))
    ferry("lock", recipe)
    ferry("build", recipe, "--yes", "-o", stick / "bad.tar", FERRY_KEYSTORE=str(keystore))
    return BAD


class Subject:
    """A machine, how it is without Ferry, and how it is after an install that nothing disturbed."""

    def __init__(self, machine: Machine, stick: Path) -> None:
        self.machine, self.stick = machine, stick
        unpack_script(machine, HELLO)
        self.bare = contents(machine)
        self.install()
        self.clean = contents(machine)
        self.uninstall()

    def install(self) -> None:
        process = begin(self.machine, HELLO)
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, (out + err).decode()

    def uninstall(self) -> None:
        self.machine.run(["ferry", "host", "uninstall", "--yes"], timeout_s=300)
        assert differing(contents(self.machine), self.bare) == []

    def cut(self, when: Callable[[], bool], bundle: str = HELLO) -> bool:
        """Cut the power in an install, and let the machine start again."""
        was_cut = cut_power(self.machine, begin(self.machine, bundle), when)
        if was_cut:
            self.machine.boot(binds_ro={self.stick: "/mnt/stick"})
        return was_cut

    def go(self, way: str) -> None:
        """Finish or take back what was cut off, and check what is there then."""
        if not (self.machine.root / "usr/local/bin/ferry").exists() and way == "resume":
            # Before its first step an install has nothing to resume: it is run again.
            self.install()
        elif (self.machine.root / "var/lib/ferry").exists() or way == "resume":
            call(self.machine, way, *(("--yes",)))
        if way == "rollback":
            self.machine.run(["rm", "-rf", "/opt/ferry"])
            assert differing(contents(self.machine), self.bare) == []
            return
        assert differing(contents(self.machine), self.clean) == []
        status = json.loads(self.machine.run(["ferry", "host", "status", "--json"]).stdout)
        assert (status["health"], status["unfinished"], status["remembered"]["problem"]) == ("healthy", None, None)
        assert b"air gap" in self.machine.http(8070, "GET", "/").body
        self.uninstall()


@pytest.fixture(scope="module")
def subject(machines: Callable[[str], Machine], stick: Path) -> Subject:
    return Subject(machines("bookworm"), stick)


def test_the_power_goes_while_the_release_is_made_and_a_resume_finishes_it_without_the_medium(subject: Subject) -> None:
    assert subject.cut(reached(subject.machine, "begin", "release"))
    told = subject.machine.run(["ferry", "host", "rollback", "--dry-run"]).stdout
    assert told == (
        "Would undo hello 1.0.0: launcher, store, trust, marks, release. Nothing is installed on this host.\n"
    )
    subject.machine.run(["umount", "/mnt/stick"])
    subject.go("resume")


def test_the_power_goes_while_services_start_and_a_rollback_leaves_nothing(subject: Subject) -> None:
    subject.machine.kill()
    subject.machine.boot(binds_ro={subject.stick: "/mnt/stick"})
    assert subject.cut(reached(subject.machine, "begin", "services"))
    subject.go("rollback")


def test_an_upgrade_that_is_not_healthy_returns_by_itself_and_data_stays(subject: Subject, bad: str) -> None:
    machine = subject.machine
    subject.install()
    machine.run(["sh", "-c", "mkdir -p /var/lib/ferry-hello && echo kept >/var/lib/ferry-hello/data"])
    before = contents(machine)
    done = machine.run(["ferry", "host", "upgrade", bad, "--yes"], check=False, timeout_s=120)
    assert done.returncode == 8
    assert "error: services: hello: expected ferry-hello.service to become ready, it ended (" in done.stderr
    assert "this host is as it was before; hello 1.0.0 (release 1) runs again" in done.stderr
    assert differing(contents(machine), before) == []
    assert b"air gap" in machine.http(8070, "GET", "/").body
    log = [json.loads(line) for line in machine.run(["cat", "/var/lib/ferry/audit/audit.jsonl"]).stdout.splitlines()]
    assert [(one["event"]["kind"], one["event"]["outcome"]) for one in log[-3:]] == [
        ("install", "begun"),
        ("return", "done"),
        ("install", "failed"),
    ]
    machine.run(["rm", "-rf", "/var/lib/ferry-hello"])
    subject.uninstall()


def test_the_second_of_two_installs_at_once_is_refused(subject: Subject) -> None:
    first, second = begin(subject.machine, HELLO), begin(subject.machine, HELLO)
    errors = [process.communicate(timeout=300)[1].decode() for process in (first, second)]
    codes = [first.returncode, second.returncode]
    assert sorted(codes) in ([0, 0], [0, 8]), errors
    assert all(
        "another run of ferry is at work on this host" in error
        for error, code in zip(errors, codes, strict=True)
        if code
    )
    assert differing(contents(subject.machine), subject.clean) == []
    subject.uninstall()


def test_a_foreign_service_on_our_port_is_named_and_nothing_is_done(subject: Subject) -> None:
    machine = subject.machine
    foreign = "[Socket]\\nListenStream=127.0.0.1:8070\\nAccept=yes\\n"
    service = "[Service]\\nExecStart=/bin/cat\\nStandardInput=socket\\n"
    place = "/run/systemd/system/foreign"
    machine.run(["sh", "-c", f"printf '{foreign}' >{place}.socket; printf '{service}' >{place}@.service"])
    machine.run(["systemctl", "start", "foreign.socket"])
    process = begin(machine, HELLO)
    error = process.communicate(timeout=120)[1].decode()
    machine.run(["systemctl", "stop", "foreign.socket"])
    assert process.returncode == 8, error
    assert "expected port 8070 to be free" in error
    assert differing(contents(machine), subject.bare) == []


def test_what_is_put_into_the_inbox_is_installed_by_systemd(subject: Subject, bad: str) -> None:
    machine = subject.machine
    subject.install()
    told = machine.run(["ferry", "host", "inbox", "enable", "--window", "00:00-00:01"]).stdout
    assert told == "The inbox is watched: /var/lib/ferry/inbox (00:00-00:01)\n"
    assert machine.run(["ferry", "host", "inbox", "enable"]).returncode == 0
    # A look that is at work ends first: at its very end it may miss what comes, and the timer looks again.
    machine.run(["systemctl", "start", "ferry-inbox.service"])
    machine.run(["sh", "-c", f"cd /var/lib/ferry/inbox && cp {bad} new && mv new bad.tar"])
    refused = machine.root / "var/lib/ferry/inbox/refused/bad.tar"
    deadline = time.monotonic() + 120
    while not refused.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    reason = refused.with_name("bad.tar.reason").read_text()
    assert "this host is as it was before; hello 1.0.0 (release 1) runs again\n" in reason
    status = json.loads(machine.run(["ferry", "host", "inbox", "status", "--json"]).stdout)
    assert (status["enabled"], status["waiting"], status["refused"]) == (True, [], ["bad.tar"])
    assert b"air gap" in machine.http(8070, "GET", "/").body
    machine.run(["sh", "-c", f"mkdir -p /srv/stick/bundles /media/ferry && cp {HELLO} /srv/stick/bundles"])
    told = machine.run(["ferry", "host", "inbox", "enable", "--stick", "/media/ferry/bundles"]).stdout
    assert told.endswith("Sticks are watched: /media/ferry/bundles\n")
    machine.run(["systemctl", "start", "ferry-inbox.service"])
    # systemd starts the service as soon as something is mounted above the directory.
    machine.run(["mount", "--bind", "/srv/stick", "/media/ferry"])
    handled = machine.root / "var/lib/ferry/inbox/handled.json"
    deadline = time.monotonic() + 60
    while not handled.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    status = json.loads(machine.run(["ferry", "host", "inbox", "status", "--json"]).stdout)
    (one,) = status["handled"]
    assert (one["outcome"], one["product"]) == ("done", "hello 1.0.0")
    assert one["path"] == "/media/ferry/bundles/hello.tar"
    machine.run(["sh", "-c", "umount /media/ferry && rm -r /srv/stick /media/ferry"])
    subject.uninstall()


@needs_time
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("event", ["begin", "done"])
@pytest.mark.parametrize("step", STEPS)
def test_the_power_goes_at_every_boundary_of_the_journal(subject: Subject, step: str, event: str, way: str) -> None:
    if not subject.cut(reached(subject.machine, event, step)):
        subject.uninstall()
        pytest.skip("the install ended before its power went")
    subject.go(way)


@needs_time
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seconds", RANDOM)
def test_the_power_goes_at_any_instant(subject: Subject, seconds: float, way: str) -> None:
    if not subject.cut(after(seconds)):
        subject.uninstall()
        pytest.skip("the install ended before its power went")
    subject.go(way)


@needs_time
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("step", ["release", "stop", "switch", "services", "health"])
def test_the_power_goes_in_an_upgrade_that_would_not_be_healthy(
    subject: Subject, bad: str, step: str, way: str
) -> None:
    machine = subject.machine
    subject.install()
    before = contents(machine)
    assert cut_power(machine, begin(machine, bad), reached(machine, "begin", step, runs(machine)))
    machine.boot(binds_ro={subject.stick: "/mnt/stick"})
    done = call(machine, way, "--yes", check=False)
    assert done.returncode == (8 if way == "resume" else 0), done.stderr
    assert differing(contents(machine), before) == []
    assert json.loads(machine.run(["ferry", "host", "status", "--json"]).stdout)["version"] == "1.0.0"
    subject.uninstall()
