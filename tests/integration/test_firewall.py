"""The firewall as the kernel applies it: two hosts on a wire, each a network of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bundler.errors import HostError
from bundler.installer.escort.nftables import render_nftables
from bundler.installer.escort.proof import prove
from bundler.model.firewall import Firewall, Flow

_PROGRAMS = ("nft", "ip", "unshare", "nsenter")
_LACKING = [name for name in _PROGRAMS if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(
    bool(_LACKING) or os.geteuid() != 0, reason=f"needs root and {', '.join(_LACKING or _PROGRAMS)}"
)
SERVICE = 61184
# Listens, then says each line that it is told to; or connects and says whether it could.
SERVER = """
import socket, sys
with socket.create_server(("10.99.0.1", int(sys.argv[1]))) as server:
    print("listening", flush=True)
    peer, _ = server.accept()
    print("accepted", flush=True)
    for line in sys.stdin:
        peer.sendall(line.encode())
"""
CLIENT = """
import socket, sys
with socket.create_connection(("10.99.0.1", int(sys.argv[1])), 10) as peer:
    print("connected", flush=True)
    for line in peer.makefile():
        print(line, end="", flush=True)
"""
TRY = """
import encodings.idna, os, socket, sys
os.setuid(int(sys.argv[1]))
try:
    socket.create_connection((sys.argv[2], int(sys.argv[3])), 3).close()
    print("connected")
except OSError as error:
    print(type(error).__name__)
"""


class Wire:
    """A host (10.99.0.1) and what is around it (10.99.0.2)."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []
        self._keepers = [subprocess.Popen(["unshare", "--net", "sleep", "300"]) for _ in range(2)]
        self.host, self.outside = (keeper.pid for keeper in self._keepers)
        for keeper in self._keepers:
            while Path(f"/proc/{keeper.pid}/ns/net").samefile("/proc/self/ns/net"):
                time.sleep(0.01)
        link = ["ip", "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", str(self.outside)]
        self.run(self.host, *link)
        for pid, address in ((self.host, "10.99.0.1/24"), (self.outside, "10.99.0.2/24")):
            self.run(pid, "ip", "address", "add", address, "dev", "wire")
            self.run(pid, "ip", "link", "set", "wire", "up")
            self.run(pid, "ip", "link", "set", "lo", "up")

    def argv(self, pid: int, *words: str) -> list[str]:
        return ["nsenter", "--net", f"--target={pid}", *words]

    def run(self, pid: int, *words: str, stdin: str = "") -> str:
        done = subprocess.run(self.argv(pid, *words), input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, pid: int, code: str, *words: str) -> subprocess.Popen[str]:
        argv = self.argv(pid, sys.executable, "-I", "-c", code, *words)
        process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._started.append(process)
        return process

    def load(self, firewall: Firewall, **settings: dict[str, str]) -> None:
        """Load the rules on the host."""
        self.run(self.host, "nft", "-f", "-", stdin=render_nftables(firewall, settings))

    def connect(self, user: int, to: str, port: int) -> str:
        """Return what a user of the host meets."""
        return self.run(self.host, sys.executable, "-I", "-c", TRY, str(user), to, str(port)).strip()

    def refused(self) -> int:
        """Return how many packets were refused."""
        found = json.loads(self.run(self.host, "nft", "-j", "list", "counter", "inet", "ferry", "refused"))
        return int(found["nftables"][1]["counter"]["packets"])

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.communicate()
        for keeper in self._keepers:
            keeper.kill()
            keeper.wait()


@pytest.fixture
def wire() -> Iterator[Wire]:
    made = Wire()
    yield made
    made.close()


def listen(wire: Wire, pid: int, address: str, port: int) -> subprocess.Popen[str]:
    server = wire.start(pid, SERVER.replace("10.99.0.1", address), str(port))
    assert server.stdout is not None
    assert server.stdout.readline() == "listening\n"
    return server


def test_a_service_reaches_what_is_declared_and_nothing_else(wire: Wire) -> None:
    for port in (8000, 8001):
        listen(wire, wire.outside, "10.99.0.2", port)
    flow = Flow(why="the model", to="10.99.0.2/32", port=8000)
    wire.load(Firewall(covers="services", allow=(flow,)))
    assert wire.connect(SERVICE, "10.99.0.2", 8000) == "connected"
    assert wire.refused() == 0
    assert wire.connect(SERVICE, "10.99.0.2", 8001) in ("OSError", "PermissionError", "ConnectionRefusedError")
    assert wire.refused() == 1
    assert wire.connect(0, "10.99.0.2", 8001) == "connected", "what is no service is left alone"


def test_a_service_reaches_its_own_host(wire: Wire) -> None:
    listen(wire, wire.host, "127.0.0.1", 8000)
    wire.load(Firewall(covers="services"))
    assert wire.connect(SERVICE, "127.0.0.1", 8000) == "connected"


def test_a_flow_follows_the_operators_setting(wire: Wire) -> None:
    listen(wire, wire.outside, "10.99.0.2", 8000)
    firewall = Firewall(covers="services", allow=(Flow(why="the model", setting="agent.MODEL_BASE_URL"),))
    wire.load(firewall)
    assert wire.connect(SERVICE, "10.99.0.2", 8000) != "connected"
    wire.load(firewall, agent={"MODEL_BASE_URL": "http://10.99.0.2:8000/v1"})
    assert wire.connect(SERVICE, "10.99.0.2", 8000) == "connected"


@pytest.mark.parametrize("covers", ["services", "host"])
def test_an_operators_session_goes_on_while_the_rules_are_loaded(wire: Wire, covers: str) -> None:
    # The kernel does not follow connections before there are rules: to it this session has no beginning.
    server = listen(wire, wire.host, "10.99.0.1", 22)
    client = wire.start(wire.outside, CLIENT, "22")
    assert client.stdout is not None
    assert server.stdin is not None
    assert client.stdout.readline() == "connected\n"
    wire.load(Firewall(covers=covers))
    server.stdin.write("still here\n")
    server.stdin.flush()
    assert client.stdout.readline() == "still here\n"
    another = wire.start(wire.outside, CLIENT, "22")
    assert another.stdout is not None
    assert another.stdout.readline() == "connected\n"
    assert wire.refused() == 0


def test_a_whole_host_reaches_what_is_declared_and_nothing_else(wire: Wire) -> None:
    for port in (8000, 8001):
        listen(wire, wire.outside, "10.99.0.2", port)
    wire.load(Firewall(covers="host", allow=(Flow(why="the model", to="10.99.0.0/24", port=8000),)))
    assert wire.connect(0, "10.99.0.2", 8000) == "connected"
    assert wire.connect(0, "10.99.0.2", 8001) != "connected"
    assert wire.refused() == 1


def test_the_rules_take_the_place_of_those_before_and_of_nothing_else(wire: Wire) -> None:
    wire.run(wire.host, "nft", "add", "table", "inet", "others")
    for _ in range(2):
        wire.load(Firewall(covers="services"))
    tables = wire.run(wire.host, "nft", "list", "tables").split("\n")
    assert sorted(filter(None, tables)) == ["table inet ferry", "table inet others"]
    wire.run(wire.host, "nft", "delete", "table", "inet", "ferry")
    assert wire.run(wire.host, "nft", "list", "tables") == "table inet others\n"


def test_rules_that_nft_does_not_take_are_refused_in_its_words() -> None:
    text = render_nftables(Firewall(covers="host", allow=(Flow(why='a "quoted" 原因', to="fd00::/8", port=53),)), {})
    prove("firewall", {"ferry.nft": text}, datetime.now(UTC))
    with pytest.raises(HostError) as caught:
        prove("firewall", {"ferry.nft": text.replace("daddr", "daddress")}, datetime.now(UTC))
    assert caught.value.place == "firewall"
    assert re.search("syntax error, unexpected string", caught.value.message)


def test_an_endpoint_with_a_name_is_refused() -> None:
    firewall = Firewall(covers="services", allow=(Flow(why="the model", setting="agent.MODEL_BASE_URL"),))
    with pytest.raises(HostError) as caught:
        render_nftables(firewall, {"agent": {"MODEL_BASE_URL": "http://model.bank/v1"}})
    assert str(caught.value) == (
        "firewall: agent.MODEL_BASE_URL: expected a URL with an address, such as http://10.1.2.3:8000/v1, "
        'got "http://model.bank/v1"'
    )
