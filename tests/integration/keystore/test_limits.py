"""What strangers may take: connections, memory and time are bounded, and others are served meanwhile."""

import re
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from daemon import Daemon, served

_CONNECTIONS = 1024


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with served(tmp_path_factory.mktemp("limits") / "data") as found:
        client = found.unsealed()
        found.root = client.token
        client.sys.enable_secrets_engine("kv", "s")
        client.secrets.kv.v1.create_or_update_secret("large", {"v": "x" * 500_000}, mount_point="s")
        yield found


def _connected(daemon: Daemon) -> socket.socket:
    parts = urlsplit(daemon.url)
    return socket.create_connection((parts.hostname, parts.port), timeout=30)


def _resident_kib(daemon: Daemon) -> int:
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])


def _answers(daemon: Daemon) -> bool:
    return requests.get(f"{daemon.url}/v1/sys/health", timeout=10).status_code == 200


def test_a_client_that_takes_no_answers_gets_no_memory(daemon: Daemon) -> None:
    before = _resident_kib(daemon)
    asked = f"GET /v1/s/large HTTP/1.1\r\nX-Vault-Token: {daemon.root}\r\n\r\n".encode()
    with _connected(daemon) as channel:
        channel.settimeout(2)
        # Gigabytes of answers are asked for; the daemon stops reading long before all is sent.
        assert not _sent(channel, asked * 10, 20_000)
        assert _answers(daemon)
        assert _resident_kib(daemon) - before < 40_000
        # Once they are taken, the rest is answered.
        channel.settimeout(10)
        taken = 0
        while taken < 20 * 500_000:
            taken += len(channel.recv(1 << 20))
    assert _answers(daemon)


def _sent(channel: socket.socket, data: bytes, times: int) -> bool:
    try:
        for _ in range(times):
            channel.sendall(data)
    except TimeoutError:
        return False
    return True


def test_large_bodies_are_taken_a_few_at_a_time(daemon: Daemon) -> None:
    head = b"POST /v1/cubbyhole/x HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 10_000
    with ExitStack() as stack:
        channels = [stack.enter_context(_connected(daemon)) for _ in range(17)]
        for channel in channels[:16]:
            channel.sendall(head)
        assert _answers(daemon)
        channels[16].sendall(head)
        refused = channels[16].recv(65_536)
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert b"expected at most 16 large requests at a time, got more: try again" in refused
        small = requests.get(f"{daemon.url}/v1/s/large", headers={"X-Vault-Token": daemon.root}, timeout=10)
        assert len(small.json()["data"]["v"]) == 500_000
    body = {"v": "x" * 400_000}
    made = requests.post(f"{daemon.url}/v1/s/y", json=body, headers={"X-Vault-Token": daemon.root}, timeout=10)
    assert made.status_code == 204


def test_connections_are_counted(daemon: Daemon) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 2 * _CONNECTIONS:
        pytest.skip("this process may not open enough files")
    with ExitStack() as stack:
        channels = [stack.enter_context(_connected(daemon)) for _ in range(_CONNECTIONS + 20)]
        asked = b"GET /v1/sys/health HTTP/1.1\r\n\r\n"
        channels[0].sendall(asked)
        assert channels[0].recv(100).startswith(b"HTTP/1.1 200 ")
        try:
            channels[-1].sendall(asked)
            answer = channels[-1].recv(100)
        except ConnectionError:
            answer = b""
        assert answer == b""
    assert _answers(daemon)
