"""The gateway as haproxy runs it: what it lets through to a service, and what it refuses, over TLS."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ports import free_port

from bundler.errors import HostError, RecipeError
from bundler.installer.escort.certificate import make_certificate
from bundler.installer.escort.haproxy import PROGRAM, render_haproxy
from bundler.installer.escort.proof import prove
from bundler.model.document import Fields
from bundler.model.gateway import gateway_section
from bundler.model.service import Service

pytestmark = pytest.mark.skipif(shutil.which("haproxy") is None, reason="needs haproxy")
TOKEN = "s3cret-of-app"
NOW = datetime.now(UTC)


class _Agent(BaseHTTPRequestHandler):
    """Answer everything, also what administers a service, and say what came."""

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        came = {"path": self.path, "body": len(self.rfile.read(length)), "headers": dict(self.headers.items())}
        body = json.dumps(came).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET  # noqa: N815 (the base class's names)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Gateway:
    """A gateway that runs, and a client of it."""

    def __init__(self, directory: Path, **limits: int) -> None:
        self.port, self.metrics_port = free_port(), free_port()
        self.agent = ThreadingHTTPServer(("127.0.0.1", 0), _Agent)
        threading.Thread(target=self.agent.serve_forever, args=(0.01,), daemon=True).start()
        section = {
            "port": self.port,
            "metrics_port": self.metrics_port,
            "clients": ["app"],
            "routes": [{"service": "agent", "paths": ["/process", "/v1/*"]}],
            "limits": limits,
        }
        fields = Fields(section, place="gateway", error=RecipeError)
        service = Service(
            name="agent", description="", run=(), directory="", port=self.agent.server_address[1], ready="/ready"
        )
        self.pem = make_certificate(["localhost", "127.0.0.1"], NOW)
        self.text = render_haproxy(gateway_section(fields), {"agent": service}, {})
        (directory / "haproxy.cfg").write_text(self.text)
        (directory / "tls.pem").write_text(self.pem)
        (directory / "tokens.map").write_text(f"{hashlib.sha256(TOKEN.encode()).hexdigest()} app\n")
        self.log = directory / "log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [PROGRAM, "-f", directory / "haproxy.cfg"],
                env={"CREDENTIALS_DIRECTORY": str(directory)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 20
        while self.ask_plain("/ready") != 200:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def ask_plain(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0
        finally:
            connection.close()

    def metrics(self) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=10)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    def ask(
        self, path: str, *, method: str = "GET", token: str = TOKEN, body: bytes | None = None, **headers: str
    ) -> Answer:
        """Send one request."""
        context = ssl.create_default_context(cadata=self.pem[: self.pem.index("-----BEGIN PRIVATE")])
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=10)
        given = {"Authorization": f"Bearer {token}"} if token else {}
        sized = {"Content-Length": str(len(body))} if body and "Transfer_Encoding" not in headers else {}
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in {**given, **sized, **headers}.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders(body)
            reply = connection.getresponse()
            found = {name.lower(): value for name, value in reply.getheaders()}
            return Answer(status=reply.status, headers=found, body=reply.read())
        finally:
            connection.close()

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.agent.shutdown()
        self.agent.server_close()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    made = Gateway(tmp_path_factory.mktemp("gateway"), requests=1000, refused=1000, body_kib=4)
    yield made
    made.close()


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path, requests=5, refused=3, body_kib=1)
    yield made
    made.close()


def came(answer: Answer) -> Mapping[str, object]:
    assert answer.status == 200
    return json.loads(answer.body)


def error(answer: Answer) -> tuple[int, str]:
    return answer.status, json.loads(answer.body)["error"]


def test_an_open_path_with_a_token_reaches_the_service_without_the_token(gateway: Gateway) -> None:
    found = came(gateway.ask("/process", method="POST", body=b"{}", X_Ferry_Client="root", X_Forwarded_For="8.8.8.8"))
    headers = found["headers"]
    assert isinstance(headers, dict)
    assert (found["path"], found["body"]) == ("/process", 2)
    assert {name.lower() for name in headers} & {"authorization"} == set()
    assert headers["x-ferry-client"] == "app"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert came(gateway.ask("/v1/models?limit=1"))["path"] == "/v1/models?limit=1"


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], f"{TOKEN}x", hashlib.sha256(TOKEN.encode()).hexdigest()])
def test_no_token_or_a_wrong_one_is_refused(gateway: Gateway, token: str) -> None:
    answer = gateway.ask("/process", token=token)
    assert answer.headers["www-authenticate"] == "Bearer"
    assert error(answer) == (401, "expected a token")


@pytest.mark.parametrize("scheme", ["Basic", "bearerx", ""])
def test_a_token_under_another_scheme_is_refused(gateway: Gateway, scheme: str) -> None:
    answer = gateway.ask("/process", token="", Authorization=f"{scheme} {TOKEN}".strip())
    assert error(answer) == (401, "expected a token")


@pytest.mark.parametrize(
    "path",
    ["/shutdown", "/SHUTDOWN", "/shutdown/", "/admin/shutdown", "/admin", "/metrics", "/docs", "/openapi.json"],
)
def test_what_administers_the_service_is_closed_to_everyone(gateway: Gateway, path: str) -> None:
    assert error(gateway.ask(path, method="POST", body=b"{}")) == (403, "closed")
    assert error(gateway.ask(path, token="")) == (403, "closed")


@pytest.mark.parametrize(
    "path",
    [
        *("/v1/../shutdown", "/v1//shutdown", "//shutdown", "/v1/./x", "/v1/%2e%2e/shutdown", "/v1/%2E./shutdown"),
        *("/v1/..%2fshutdown", "/v1/%5c..%5cshutdown", "/v1\\..\\shutdown", "/v1/x;/../shutdown", "/v1/%00"),
    ],
)
def test_other_spellings_of_a_path_are_refused(gateway: Gateway, path: str) -> None:
    assert error(gateway.ask(path)) == (400, "expected a plain path")


def test_an_absolute_request_target_does_not_lead_around_the_rules(gateway: Gateway) -> None:
    assert gateway.ask("https://other/shutdown").status == 403


@pytest.mark.parametrize("path", ["/", "/process/", "/processes", "/Process", "/v1", "/v2/x", "/ready"])
def test_a_path_that_no_route_opens_is_not_there(gateway: Gateway, path: str) -> None:
    assert error(gateway.ask(path)) == (404, "no such path")


def test_a_method_that_the_route_does_not_take_is_refused(gateway: Gateway) -> None:
    answer = gateway.ask("/process", method="PUT", body=b"x")
    assert answer.headers["allow"] == "GET, POST"
    assert error(answer) == (405, "no such method")


def test_the_length_of_a_body_is_known_and_bounded(gateway: Gateway) -> None:
    assert came(gateway.ask("/process", method="POST", body=b"x" * 4096))["body"] == 4096
    assert error(gateway.ask("/process", method="POST", body=b"x" * 4097)) == (413, "expected at most 4096 bytes")
    assert error(gateway.ask("/process", method="POST")) == (411, "expected a length")
    assert error(gateway.ask("/process", method="POST", body=b"0\r\n\r\n", Transfer_Encoding="chunked")) == (
        411,
        "expected a length",
    )


def test_a_client_that_asks_too_often_waits(strict: Gateway) -> None:
    assert [gateway_status(strict) for _ in range(5)] == [200] * 5
    answer = strict.ask("/process")
    assert answer.headers["retry-after"] == "10"
    assert error(answer) == (429, "too many requests")


def gateway_status(gateway: Gateway) -> int:
    return gateway.ask("/process").status


def test_an_address_that_tries_tokens_is_refused_before_its_token_is_looked_at(strict: Gateway) -> None:
    assert [strict.ask("/process", token=f"guess-{number}").status for number in range(4)] == [401] * 4
    assert error(strict.ask("/process", token="guess")) == (429, "too many refused requests")
    assert error(strict.ask("/process")) == (429, "too many refused requests")


def test_plain_http_and_old_tls_are_not_spoken(gateway: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", gateway.port), 10) as plain:
        plain.sendall(b"GET /process HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" not in plain.recv(100)
    old = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert old.returncode == 1
    assert "alert protocol version" in old.stderr


def test_a_token_stands_in_no_log(gateway: Gateway) -> None:
    gateway.ask("/process", token="a-wrong-token")
    gateway.ask("/process")
    deadline = time.monotonic() + 10
    while (text := gateway.log.read_text()).count("client=app GET /process status=200") < 1:
        assert time.monotonic() < deadline, text
        time.sleep(0.05)
    assert TOKEN not in text
    assert "a-wrong-token" not in text


def test_the_figures_that_alerts_read_are_there_and_administer_nothing(gateway: Gateway) -> None:
    gateway.ask("/process")
    text = gateway.metrics()
    alerts = (Path(__file__).parents[2] / "bundler/installer/escort/alerts/gateway.rules.yml").read_text()
    names = set(re.findall(r"haproxy_[a-z_]+", alerts))
    assert len(names) >= 10
    assert {name for name in names if f"\n{name}{{" not in text} == set()
    assert 'haproxy_backend_active_servers{proxy="agent"} 1' in text
    assert gateway.ask_plain("/") == 404


def test_a_gateway_is_ready_once_its_services_are(tmp_path: Path) -> None:
    made = Gateway(tmp_path)
    try:
        made.agent.shutdown()
        made.agent.server_close()
        deadline = time.monotonic() + 20
        while made.ask_plain("/ready") != 503:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert error(made.ask("/process")) == (503, "the service does not answer")
        connection = http.client.HTTPConnection("127.0.0.1", made.metrics_port, timeout=10)
        connection.request("GET", "/ready")
        assert connection.getresponse().read() == b"agent does not answer"
        connection.close()
    finally:
        made.process.terminate()
        made.process.wait(10)


def test_a_configuration_that_haproxy_does_not_take_is_refused_in_its_words(gateway: Gateway) -> None:
    prove("gateway", {"haproxy.cfg": gateway.text}, NOW)
    with pytest.raises(HostError) as caught:
        prove("gateway", {"haproxy.cfg": gateway.text.replace("maxconn", "maxcon")}, NOW)
    assert caught.value.place == "gateway"
    assert "unknown keyword 'maxcon' in 'global' section" in caught.value.message
