"""The autoscaler beside a cluster: a real Prometheus tells of the replicas, and whoever scales reads how many."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from command import CHECKOUT
from ports import free_port

SUPPORT = Path(__file__).parents[1] / "support"
POOL = """[pool.chat]
accelerator = "stand-in"
cluster = true
maximum = 9
minimum = 2
prometheus = "http://127.0.0.1:{prometheus}"
select = {{ job = "model" }}
[pool.chat.profile]
prefill_tok_s = 1000
decode_tok_s = 50
"""
Start = Callable[..., subprocess.Popen[bytes]]


def get(port: int, path: str, method: str = "GET", body: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, body)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def wait_for(what: str, is_so: Callable[[], Any], seconds: float = 60) -> Any:
    until = time.monotonic() + seconds
    while True:
        try:
            if found := is_so():
                return found
        except OSError:
            pass
        assert time.monotonic() < until, what
        time.sleep(0.3)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    running = []

    def one(*words: object) -> subprocess.Popen[bytes]:
        with (tmp_path / "log").open("ab") as log:
            running.append(subprocess.Popen([*map(str, words)], stdout=log, stderr=log, cwd=CHECKOUT))
        return running[-1]

    yield one
    for process in running:
        process.terminate()
    for process in running:
        process.wait(20)


@pytest.fixture
def models(start: Start) -> list[int]:
    ports = [free_port(), free_port()]
    for port in ports:
        start(sys.executable, SUPPORT / "model_replica.py", port, 0, 100)
    return ports


@pytest.fixture
def prometheus(start: Start, models: list[int], tmp_path: Path) -> int:
    if shutil.which("prometheus") is None:
        pytest.skip("needs the program prometheus")
    port = free_port()
    targets = [f"127.0.0.1:{one}" for one in models]
    job = {"job_name": "model", "scrape_interval": "1s", "static_configs": [{"targets": targets}]}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump({"scrape_configs": [job]}))
    start(
        "prometheus",
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    wait_for("prometheus", lambda: get(port, "/-/ready")[0] == 200)
    return port


def test_what_a_cluster_should_have_is_told(start: Start, models: list[int], prometheus: int, tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(POOL.format(prometheus=prometheus))
    port = free_port()
    argv = [sys.executable, "-m", "bundler.cli", "autoscaler", "run", "--config", tmp_path / "a.toml"]
    argv += ["--state", tmp_path / "state", "--tick", 1, "--listen", f"127.0.0.1:{port}"]
    service = start(*argv)

    def pool() -> dict[str, Any]:
        return json.loads(get(port, "/v1/pools/chat")[1])  # type: ignore[no-any-return]

    wait_for("the pool", lambda: pool().get("wanted") == 2)
    # Forty requests of two seconds at two replicas: much waits, so more are wanted.
    threads = [
        threading.Thread(target=get, args=(models[index % 2], "/", "POST", '{"tokens": 200}')) for index in range(40)
    ]
    for thread in threads:
        thread.start()
    grown = wait_for("a wish for more", lambda: pool().get("wanted", 0) > 2 and pool())
    assert grown["ready"] == 2
    metrics = get(port, "/metrics")[1]
    assert 'ferry_autoscaler_up{pool="chat"} 1.0' in metrics
    argv_check = ["promtool", "check", "metrics"]
    checked = subprocess.run(argv_check, input=metrics, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    assert get(port, "/v1/pools/other")[0] == 404
    assert get(port, "/")[0] == 404
    for thread in threads:
        thread.join()

    # Without telemetry nothing is wished for, and what the scaler has stays.
    (tmp_path / "a.toml").write_text(POOL.format(prometheus=prometheus).replace('"model"', '"other"'))
    service.terminate()
    assert service.wait(20) == 0
    start(*argv)
    wait_for("the trouble", lambda: get(port, "/v1/pools/chat")[0] == 503)
    assert "wanted" not in pool()
    assert pool()["error"].endswith("expected metrics of at least one replica, Prometheus has none")
    assert 'ferry_autoscaler_up{pool="chat"} 0.0' in get(port, "/metrics")[1]
