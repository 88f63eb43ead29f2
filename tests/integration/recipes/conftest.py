"""Run a recipe's service as the process it is on a host, and talk HTTP to it."""

import http.client
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ports import free_port

RECIPES = Path(__file__).parents[3] / "recipes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[Any]:
        lines = self.body.decode().splitlines()
        return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Service:
    port: int
    process: subprocess.Popen[str]

    def request(self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        given = {"content-type": "application/json", **(headers or {})}
        try:
            connection.request(method, path, data, given)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(status=response.status, headers=names, body=response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, body: object, headers: dict[str, str] | None = None) -> Answer:
        return self.request("POST", path, body, headers)

    def stop(self) -> tuple[int, str]:
        """Send SIGTERM; return the exit status and what was written to stderr."""
        return self._end(signal.SIGTERM)

    def kill(self) -> str:
        """End it as a power cut would; return what was written to stderr."""
        return self._end(signal.SIGKILL)[1]

    def _end(self, by: signal.Signals) -> tuple[int, str]:
        self.process.send_signal(by)
        # As long as the unit on a host waits before it kills.
        _, stderr = self.process.communicate(timeout=30)
        return self.process.returncode, stderr


Start = Callable[..., Service]


def spawn(script: str | Path, env: dict[str, str], python: str = sys.executable) -> subprocess.Popen[str]:
    """Start a script by its path, or by that below `recipes`."""
    return subprocess.Popen(
        [python, str(RECIPES / script)],
        env={"PYTHONDONTWRITEBYTECODE": "1", **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="session")
def recipes() -> Path:
    return RECIPES


@pytest.fixture(scope="session")
def refuse() -> Callable[..., tuple[int, str]]:
    return _refuse


def _refuse(script: str, env: dict[str, str], python: str = sys.executable) -> tuple[int, str]:
    """Run a service that is expected to refuse its settings."""
    process = spawn(script, env, python)
    _, stderr = process.communicate(timeout=10)
    return process.returncode, stderr


def wait_for(service: Service, path: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if service.get(path).status == 200:
                return
        except OSError:
            pass
        if service.process.poll() is not None or time.monotonic() > deadline:
            service.process.kill()
            pytest.fail(f"no 200 from {path}: {service.process.communicate()[1]}")
        time.sleep(0.05)


@pytest.fixture(scope="module")
def start() -> Iterator[Start]:
    """Start services on free ports and stop what is left at the end."""
    services: list[Service] = []

    def run(script: str | Path, *, until: str = "/health", timeout_s: float = 10, **options: Any) -> Service:
        env, python = options.get("env", {}), options.get("python", sys.executable)
        port = options.get("port") or free_port()
        service = Service(port=port, process=spawn(script, {**env, "PORT": str(port)}, python))
        services.append(service)
        wait_for(service, until, timeout_s)
        return service

    yield run
    for service in services:
        service.process.kill()
        service.process.communicate()
