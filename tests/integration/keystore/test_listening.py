"""The listener: what it refuses, how it ends slow clients, and its three ways to be reached."""

import http.client
import json
import re
import socket
import ssl
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import hvac
import pytest
import requests
from daemon import Daemon, served


def _raw(daemon: Daemon, data: bytes) -> bytes:
    parts = urlsplit(daemon.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as channel:
        channel.sendall(data)
        answer = b""
        while piece := channel.recv(65_536):
            answer += piece
    return answer


@pytest.mark.parametrize(
    ("sent", "status", "told"),
    [
        (b"NONSENSE\r\n\r\n", 400, "expected a request line of HTTP/1.1, got something else"),
        (b"GET /v1/sys/health HTTP/1.1\r\nBad Name: x\r\n\r\n", 400, "expected a header, got something else"),
        (b"GET /v1/x HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431, "expected at most 100 headers, got 200"),
        (b"GET /v1/x HTTP/1.1\r\nA: " + b"b" * 40_000, 431, "expected a head of at most 32768 bytes, got more"),
        (
            b"POST /v1/x HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
            "expected a body in chunks or of a length, got both or another coding",
        ),
        (
            b"POST /v1/x HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
            413,
            "expected a body of at most 33554432 bytes, got 99999999",
        ),
        (
            b"POST /v1/x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            400,
            "expected the size of a chunk, got something else",
        ),
        (b"GET /v1/%ff HTTP/1.1\r\n\r\n", 400, "expected a path in UTF-8, got other bytes"),
        (
            b"GET /v1/x HTTP/1.1\r\nX-Vault-Token: a\r\nX-Vault-Token: b\r\n\r\n",
            400,
            "expected one header x-vault-token, got two",
        ),
    ],
)
def test_what_is_malformed_or_too_large_is_refused(daemon: Daemon, sent: bytes, status: int, told: str) -> None:
    head, _, body = _raw(daemon, sent).partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status
    assert json.loads(body) == {"errors": [told]}
    assert b"Connection: close" in head


def test_requests_in_chunks_and_in_a_row_are_answered(daemon: Daemon) -> None:
    first = b"POST /v1/sys/wrapping/lookup HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    first += b'5\r\n{"tok\r\n9\r\nen":"no"}\r\n0\r\n\r\n'
    second = b"HEAD /v1/sys/health HTTP/1.1\r\n\r\n"
    third = b"GET /v1/sys/seal-status HTTP/1.1\r\nConnection: close\r\n\r\n"
    answer = _raw(daemon, first + second + third)
    assert answer.count(b"HTTP/1.1 ") == 3
    assert b"wrapping token is not valid or does not exist" in answer
    assert b'"sealed":false' in answer


def test_bad_json_is_refused(daemon: Daemon) -> None:
    for body in (b"{", b"[]", b"nul", b'{"a":NaN}', b'{"a":"\\ud800"}', b"[" * 100_000, b'{"a":' + b"9" * 5000 + b"}"):
        answer = requests.post(
            f"{daemon.url}/v1/cubbyhole/x", data=body, headers={"X-Vault-Token": daemon.root}, timeout=10
        )
        assert (answer.status_code, answer.json()["errors"][0][:26]) == (400, "failed to parse JSON input")


def test_paths_that_mean_another_place_are_refused(daemon: Daemon) -> None:
    for path in ("cubbyhole/../sys/x", "cubbyhole//x", "cubbyhole/%00", "cubbyhole/%2e%2e/x"):
        parts = urlsplit(daemon.url)
        channel = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        channel.request("GET", f"/v1/{path}", headers={"X-Vault-Token": daemon.root})
        assert channel.getresponse().status == 400
        channel.close()


def test_a_slow_client_is_ended(daemon: Daemon) -> None:
    parts = urlsplit(daemon.url)
    began = time.monotonic()
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as channel:
        channel.sendall(b"GET /v1/sys/health HTTP/1.1\r\n")
        answer = channel.recv(65_536)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert 8 < time.monotonic() - began < 25


def test_a_unix_socket_answers_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "k.sock"
    with served(tmp_path / "data", "--socket", str(path)):
        assert oct(path.stat().st_mode)[-3:] == "600"
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(str(path))
            channel.sendall(b"GET /v1/sys/health HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert channel.recv(65_536).startswith(b"HTTP/1.1 501 ")
    assert not path.exists()


def _openssl(*words: str, cwd: Path) -> None:
    subprocess.run(["openssl", *words], cwd=cwd, check=True, capture_output=True)


def test_a_host_logs_in_by_its_certificate(tmp_path: Path) -> None:
    _openssl(
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
        "-subj",
        "/CN=Test CA",
        cwd=tmp_path,
    )
    for name, extra in (("host", "subjectAltName=IP:127.0.0.1"), ("client", "subjectAltName=DNS:node-1.bank")):
        _openssl(
            "req",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.csr",
            "-subj",
            f"/CN={name}",
            cwd=tmp_path,
        )
        (tmp_path / "ext").write_text(extra + "\n")
        _openssl(
            "x509",
            "-req",
            "-in",
            f"{name}.csr",
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-out",
            f"{name}.crt",
            "-extfile",
            "ext",
            cwd=tmp_path,
        )
    options = ("--tls-cert", str(tmp_path / "host.crt"), "--tls-key", str(tmp_path / "host.key"))
    with served(tmp_path / "data", *options, "--tls-client-ca", str(tmp_path / "ca.crt")) as daemon:
        daemon.url = daemon.url.replace("localhost", "127.0.0.1")
        trusted = {"verify": str(tmp_path / "ca.crt")}
        root = daemon.client(**trusted)
        made = root.sys.initialize(1, 1)
        root.sys.submit_unseal_key(made["keys"][0])
        root.token = made["root_token"]
        root.sys.enable_auth_method("cert")
        ca = (tmp_path / "ca.crt").read_text()
        root.write_data(
            "auth/cert/certs/nodes", data={"certificate": ca, "allowed_dns_sans": "*.bank", "token_policies": "default"}
        )
        root.write_data("auth/cert/certs/others", data={"certificate": ca, "allowed_dns_sans": "*.shop"})
        shown = (str(tmp_path / "client.crt"), str(tmp_path / "client.key"))
        client = daemon.client(cert=shown, **trusted)
        login = client.write_data("auth/cert/login", data={"name": "nodes"})
        assert login["auth"]["metadata"]["common_name"] == "client"
        with pytest.raises(
            hvac.exceptions.InvalidRequest, match="invalid certificate or no client certificate supplied"
        ):
            client.write_data("auth/cert/login", data={"name": "others"})
        with pytest.raises(hvac.exceptions.InvalidRequest, match="client certificate must be supplied"):
            daemon.client(**trusted).write_data("auth/cert/login", data={})
        assert ssl.get_server_certificate(("127.0.0.1", urlsplit(daemon.url).port)).startswith("-----BEGIN")


def test_plain_http_stays_on_the_loopback(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"expected a loopback address for plain HTTP, got '0\.0\.0\.0'"):
        Daemon(tmp_path / "data", "--listen", "0.0.0.0:0").start()
    with (
        served(tmp_path / "data"),
        pytest.raises(AssertionError, match="expected a store that nobody serves, got one in use"),
    ):
        Daemon(tmp_path / "data").start()


def test_the_manager_is_told_and_the_memory_is_guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(address))
        manager.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        with served(tmp_path / "data") as daemon:
            assert manager.recv(100) == b"READY=1"
            assert daemon.process is not None
            limits = Path(f"/proc/{daemon.process.pid}/limits").read_text()
            assert re.search(r"Max core file size +0 +0 ", limits)
            status = Path(f"/proc/{daemon.process.pid}/status").read_text()
            locked = int(re.findall(r"VmLck:\s+(\d+) kB", status)[0])
            assert locked or any("mlockall was refused" in line for line in daemon.lines)
        assert manager.recv(100) == b"STOPPING=1"
