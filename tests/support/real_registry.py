"""A docker-registry on loopback."""

from __future__ import annotations

import base64
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from ports import free_port

# alice:open-sesame, as `htpasswd -nbB` writes it.
HTPASSWD = "alice:$2y$05$OpMzKdGPsPiOy3/9aVoxh.oUE9lJlbenfHCi.NPDXryzbpxNA0zH.\n"
LOGIN = base64.b64encode(b"alice:open-sesame").decode()


@contextmanager
def running_registry(directory: Path, users: str = "", certificate: Path | None = None) -> Iterator[str]:
    """Start a registry on loopback, over TLS with a `certificate` whose file has its key too; yield its host."""
    host = f"127.0.0.1:{free_port()}"
    settings: dict[str, Any] = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(directory / "data")}},
        "http": {"addr": host},
    }
    if users:
        (directory / "users").write_text(users)
        settings["auth"] = {"htpasswd": {"realm": "test", "path": str(directory / "users")}}
    if certificate:
        settings["http"]["tls"] = {"certificate": str(certificate), "key": str(certificate)}
    (directory / "config.yml").write_text(yaml.safe_dump(settings))
    with (directory / "log").open("wb") as log:
        argv = ["docker-registry", "serve", directory / "config.yml"]
        process = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT)
        try:
            _wait_for(host)
            yield host
        finally:
            process.terminate()
            process.wait(10)


def _wait_for(host: str) -> None:
    for _ in range(100):
        try:
            with socket.create_connection(host.split(":"), 1):
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail("the registry did not come up")
