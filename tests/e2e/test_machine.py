"""Isolated machines themselves: what every other test in this directory stands on."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from isolated import system
from isolated.host import wait
from machine import IP_FILTER, Machine, MachineError, Process

SCRIPTS = Path(__file__).parents[2] / "scripts"

pytestmark = pytest.mark.e2e
needs_machines = pytest.mark.skipif(Machine.reason_unavailable() is not None, reason=str(Machine.reason_unavailable()))

# Sends three events, a moment apart, and ends, as a streaming endpoint does.
STREAM = """while read line && [ ${#line} -gt 1 ]; do :; done; head -c 2 >/etc/stream.body
printf 'HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\n'
for n in 1 2 3; do printf 'data: %s\\n\\n' $n; sleep 0.1; done"""
SOCKET = "[Socket]\nListenStream=127.0.0.1:8090\nAccept=yes\n"
SERVICE = "[Service]\nExecStart=/bin/sh /etc/stream.sh\nStandardInput=socket\nStandardOutput=socket\n"


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    if reason := Machine.reason_unavailable():
        pytest.skip(reason)
    directory = tmp_path_factory.mktemp("machine")
    (directory / "stick").mkdir()
    (directory / "stick/bundle").write_text("carried")
    with Machine.create("bookworm", directory / "root") as machine:
        machine.boot(binds_ro={directory / "stick": "/mnt/stick"})
        yield machine


@pytest.fixture(scope="module")
def spare(tmp_path_factory):
    if reason := Machine.reason_unavailable():
        pytest.skip(reason)
    machine = Machine.create("bookworm", tmp_path_factory.mktemp("spare") / "root")
    yield machine
    if machine.state_file.exists():
        machine.destroy()


def command_line(*arguments: object) -> str:
    argv = [sys.executable, str(SCRIPTS / "machine.py"), *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


def write(machine: Machine, path: str, text: str) -> None:
    machine.run(["sh", "-c", 'cat >"$0"', path], input=text)


def test_a_machine_is_up_with_no_failed_unit(machine):
    assert machine.run(["systemctl", "is-system-running"]).stdout == "running\n"
    assert machine.run(["systemctl", "--failed", "--quiet"]).stdout == ""


def test_a_machine_has_no_network_but_loopback(machine):
    assert machine.run(["ls", "/sys/class/net"]).stdout == "lo\n"


@pytest.mark.parametrize("program", ["python3", "openssl", "curl"])
def test_a_machine_is_bare(machine, program):
    assert machine.run(["which", program], check=False).returncode == 1


def test_a_bind_is_there_and_cannot_be_written(machine):
    assert machine.run(["cat", "/mnt/stick/bundle"]).stdout == "carried"
    done = machine.run(["touch", "/mnt/stick/x"], check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "touch: cannot touch '/mnt/stick/x': Read-only file system\n",
    )


def test_run_passes_input_status_output_and_only_the_given_environment(machine, monkeypatch):
    monkeypatch.setenv("LEAKED", "from this host")
    done = machine.run(["sh", "-c", "cat; env >&2; exit 3"], input="摆渡", env={"NAME": "a b"}, check=False)
    assert (done.returncode, done.stdout) == (3, "摆渡")
    names = {line.partition("=")[0] for line in done.stderr.splitlines()}
    assert names == {"PATH", "LANG", "NAME", "PWD"}


def test_run_is_inside_the_machines_own_cgroup(machine):
    assert machine.run(["grep", "-c", ":/init.scope$", "/proc/self/cgroup"]).stdout.strip() != "0"


def test_a_failed_program_is_told_with_its_last_lines(machine):
    with pytest.raises(MachineError) as caught:
        machine.run(["sh", "-c", "echo half done; echo broken >&2; exit 7"])
    message = "sh -c echo half done; echo broken >&2; exit 7: ended with status 7\nhalf done\nbroken"
    assert str(caught.value) == message


def test_a_program_that_does_not_end_is_ended(machine):
    with pytest.raises(MachineError, match=r"^sleep 4242: not done after 0\.5 s\n"):
        machine.run(["sleep", "4242"], timeout_s=0.5)
    assert machine.run(["pidof", "sleep"], check=False).stdout == ""


def test_a_timeout_does_not_wait_for_a_stray_that_holds_the_output_open(machine):
    with pytest.raises(MachineError, match=r"not done after 0\.5 s"):
        machine.run(["sh", "-c", "setsid sleep 60 & sleep 4242"], timeout_s=0.5)


def test_http_reaches_a_service_and_reads_a_stream_to_its_end(machine):
    write(machine, "/etc/stream.sh", STREAM)
    write(machine, "/etc/systemd/system/stream.socket", SOCKET)
    write(machine, "/etc/systemd/system/stream@.service", SERVICE)
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["systemctl", "start", "stream.socket"])
    reply = machine.http(8090, "POST", "/process", body=b"{}", headers={"Content-Type": "application/json"})
    assert (reply.status, reply.headers) == (200, {"content-type": "text/event-stream"})
    assert reply.body == b"data: 1\n\ndata: 2\n\ndata: 3\n\n"


def test_http_says_that_nothing_listens(machine):
    with pytest.raises(MachineError, match=r"^GET port 8091 /: ended with status 1\n.*Connection refused"):
        machine.http(8091, "GET", "/")


def test_another_process_finds_the_machine(machine):
    assert command_line("run", "--root", machine.root, "--", "hostname") == "isolated\n"


def test_a_running_machine_cannot_be_started_again(machine):
    with pytest.raises(MachineError, match="the machine is running already"):
        machine.boot()


def test_a_machine_comes_back_after_a_power_cut_and_after_a_shutdown(machine):
    write(machine, "/srv/kept", "kept")
    cut_short = machine.start(["sleep", "60"])
    machine.kill()
    assert cut_short.wait(5) != 0
    assert not machine.is_running
    with pytest.raises(MachineError, match="the machine is not running"):
        machine.run(["true"])
    machine.boot()
    machine.poweroff()
    assert not machine.is_running
    machine.boot()
    assert machine.run(["cat", "/srv/kept"]).stdout == "kept"


def test_two_machines_at_once_do_not_meet(machine, spare):
    spare.boot()
    spare.kill()
    assert machine.run(["systemctl", "is-system-running"]).stdout == "running\n"


def test_a_unit_is_kept_from_addresses_it_may_not_reach(spare):
    spare.boot(options=IP_FILTER)
    connect = ["timeout", "2", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9"]
    unit = ["systemd-run", "--quiet", "--wait", "--pipe", "--property=IPAddressDeny=any"]
    refused = spare.run([*unit, "--property=IPAddressAllow=localhost", *connect], check=False)
    dropped = spare.run([*unit, *connect], check=False)
    spare.poweroff()
    assert (refused.returncode, dropped.returncode) == (1, 124)


def test_a_machine_shuts_down_with_the_thread_that_started_it(spare):
    starter = threading.Thread(target=spare.boot)
    starter.start()
    starter.join(60)
    assert wait(lambda: not spare.is_running, 10)


def test_a_machine_that_does_not_start_is_off_and_shows_its_console(spare):
    init = spare.root / "usr/lib/systemd/systemd"
    init.rename(spare.root / "kept")
    with pytest.raises(MachineError, match=r"(?s)it did not start its process 1\n.+"):
        spare.boot()
    (spare.root / "kept").rename(init)
    assert not spare.is_running


def test_a_leftover_of_another_run_is_found_and_replaced(spare):
    command_line("boot", "--root", spare.root)
    leader = spare._process("leader")
    assert leader.is_alive
    (spare.root / "srv/old").touch()
    Machine.create("bookworm", spare.root)
    assert not leader.is_alive
    assert not (spare.root / "srv/old").exists()


def test_a_destroyed_machine_leaves_nothing(spare):
    spare.boot()
    processes = [spare._process("supervisor"), spare._process("leader")]
    cgroups = [Path(path) for path in spare._state()["cgroups"]]
    subprocess.run(["mount", "-t", "tmpfs", "none", spare.root / "mnt"], check=True)
    spare.destroy()
    assert list(spare.root.parent.iterdir()) == []
    assert [process for process in processes if process.is_alive] == []
    assert [path for path in cgroups if path.exists()] == []
    assert str(spare.root) not in Path("/proc/self/mountinfo").read_text()


@needs_machines
def test_a_directory_that_is_no_machine_is_left_alone(tmp_path):
    (tmp_path / "precious").touch()
    with pytest.raises(MachineError, match="expected no or an empty directory"):
        Machine.create("bookworm", tmp_path)
    with pytest.raises(MachineError, match="no machine was created here"):
        Machine(tmp_path)
    assert (tmp_path / "precious").exists()


def test_a_process_is_told_from_another_with_its_number():
    process = Process.of(1)
    assert process.is_alive
    assert not Process(pid=1, started=process.started + 1, boot_id=process.boot_id).is_alive
    assert not Process(pid=1, started=process.started, boot_id="another boot").is_alive


ARCHIVES = {
    "apt knows the origin": ("Debian|main|bookworm|bookworm|http://one/debian/", "http://one/debian/"),
    "apt was never updated": ("|main|bookworm||http://one/debian/", "http://one/debian/"),
    "a suite by its role": ("Debian|main|oldstable|bookworm|http://one/d/", "http://one/d/"),
    "a foreign archive of the same suite": ("Docker|main|bookworm|bookworm|http://one/debian/", None),
    "only updates": ("Debian|main|bookworm-updates|bookworm-updates|http://one/debian/", None),
    "another component": ("Debian|contrib|bookworm|bookworm|http://one/debian/", None),
}


@pytest.mark.parametrize(("targets", "expected"), ARCHIVES.values(), ids=ARCHIVES.keys())
def test_the_archive_is_the_one_of_the_hosts_apt(targets, expected):
    assert system.archive_of(targets + "\n", "debian", "bookworm") == expected


def test_there_is_no_archive_on_another_distribution():
    assert system.archive_of("Debian|main|bookworm|bookworm|http://one/debian/", "ubuntu", "noble") is None
