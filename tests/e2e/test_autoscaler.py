"""The autoscaler on an isolated host: systemd's replicas behind haproxy, a load that rises tenfold and falls."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command import ferry
from machine import Machine

pytestmark = [pytest.mark.e2e, pytest.mark.network]
SUPPORT = Path(__file__).parents[1] / "support"
# A replica makes 100 tokens/s for at most four requests at once, so two requests of 50 tokens a second.
TOKENS_S, TOKENS, COLD_S = 100, 50, 3
MODEL = f"""[Unit]
Description=A stand-in for a server of a model
[Service]
ExecStart=/usr/bin/python3 /mnt/support/model_replica.py 900%i {COLD_S} {TOKENS_S}
DynamicUser=yes
Restart=always
RestartSec=1
"""
AUTOSCALER = """[Unit]
Description=Ferry's autoscaler
[Service]
Type=notify
ExecStart=/usr/local/bin/ferry autoscaler run --config /etc/autoscaler.toml --tick 1
Restart=always
RestartSec=1
"""
POOL = f"""[pool.chat]
accelerator = "stand-in"
minimum = 1
maximum = 8
cold_start_s = {COLD_S}
unit = "model@{{n}}.service"
first_port = 9001
haproxy_socket = "/run/haproxy-admin.sock"
backend = "chat"
most_asleep = 1
at_once = 4
[pool.chat.profile]
prefill_tok_s = 1000
decode_tok_s = {2 * TOKENS_S}
"""
HAPROXY = """global
  stats socket /run/haproxy-admin.sock mode 600 level admin
defaults
  mode http
  timeout connect 5s
  timeout queue 120s
  timeout client 120s
  timeout server 120s
frontend chat
  bind 127.0.0.1:8000
  default_backend chat
backend chat
  balance leastconn
"""


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, keystore: Path) -> Iterator[Machine]:
    if reason := Machine.reason_unavailable():
        pytest.skip(reason)
    stick = tmp_path_factory.mktemp("stick")
    ferry("build", "recipes/hello", "--yes", "-o", stick / "hello.tar", FERRY_KEYSTORE=str(keystore))
    ferry("keystore", "public", "-o", stick / "release.pem", FERRY_KEYSTORE=str(keystore))
    machine = Machine.create("bookworm", tmp_path_factory.mktemp("pool") / "host", include=["haproxy", "python3"])
    machine.boot(binds_ro={stick: "/mnt/stick", SUPPORT: "/mnt/support"})
    yield machine
    machine.destroy()
    shutil.rmtree(machine.root, ignore_errors=True)


def write(machine: Machine, path: str, text: str) -> None:
    machine.run(["sh", "-c", 'cat >"$0"', path], input=text)


def pool(machine: Machine) -> dict[str, Any]:
    """Return the status of the pool, whatever its exit code."""
    text = machine.run(["ferry", "autoscaler", "status", "--json"], check=False).stdout
    return next(iter(json.loads(text)["pools"]), {}) if text else {}


def ready(machine: Machine) -> int:
    return sum(state == "ready" for state in pool(machine).get("replicas", {}).values())


def wait_for(what: str, machine: Machine, is_so: Callable[[], bool], seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"{what}: {pool(machine)}\n{log(machine)}"
        time.sleep(1)


def log(machine: Machine) -> str:
    return machine.run(["journalctl", "--no-pager", "-u", "autoscaler", "-n", "40", "-o", "cat"], check=False).stdout


def test_a_load_that_rises_tenfold_and_falls(host: Machine) -> None:
    host.run(["tar", "--occurrence=1", "-xf", "/mnt/stick/hello.tar", "-C", "/root", "install.sh"])
    host.run(
        ["sh", "/root/install.sh", "/mnt/stick/hello.tar", "--trust", "/mnt/stick/release.pem", "--yes"], timeout_s=300
    )
    write(host, "/etc/haproxy/haproxy.cfg", HAPROXY)
    write(host, "/etc/systemd/system/model@.service", MODEL)
    write(host, "/etc/systemd/system/autoscaler.service", AUTOSCALER)
    write(host, "/etc/autoscaler.toml", POOL)
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "restart", "haproxy"])
    host.run(["systemctl", "start", "autoscaler"])
    wait_for("the first replica", host, lambda: ready(host) == 1)

    words = ["1:8", "10:45", "1:60"]
    argv = ["/usr/bin/python3", "/mnt/support/model_load.py", "8000", str(TOKENS), *words]
    load = host.start(argv, stdout=subprocess.PIPE, text=True)
    wait_for("half of the way up", host, lambda: ready(host) >= 3)
    host.run(["systemctl", "kill", "--signal=KILL", "autoscaler"])
    wait_for("the way up", host, lambda: ready(host) >= 5)
    wait_for("the way down", host, lambda: ready(host) <= 2, 120)
    out, _ = load.communicate(timeout=180)

    came = json.loads(out)
    assert came["lost"] == []
    assert len(came["took"]) == came["sent"] == 518
    # An idle machine answers 95 % within 10 s; that most are answered at once says that the pool grew in time.
    print("95 % within", came["took"][491], "s")
    assert came["took"][259] < 5
    status = pool(host)
    # It was told that a card makes twice what it does, and saw that it does not.
    assert 0.4 < status["measured"] < 0.7
    assert status["cold_starts"] >= 3
    states = list(status["replicas"].values())
    assert states.count("sleeping") <= 1
    told = host.run(["ferry", "autoscaler", "explain", "/var/lib/ferry/autoscaler/chat/decisions.log"]).stdout
    assert "grow from" in told
    assert "shrink from" in told
    assert int(host.run(["systemctl", "show", "-P", "NRestarts", "autoscaler"]).stdout) == 1

    host.run(["systemctl", "stop", "haproxy"])
    wait_for("the trouble", host, lambda: "haproxy does not answer" in pool(host).get("error", ""))
    assert host.run(["ferry", "autoscaler", "status"], check=False).returncode == 8
    units = host.run(["systemctl", "list-units", "--no-legend", "--plain", "--state=active", "model@*"]).stdout
    assert len(units.splitlines()) >= 1, "what runs is left running"
