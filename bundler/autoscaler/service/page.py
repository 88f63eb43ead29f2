"""What other programs read: metrics as Prometheus text, and each pool as JSON, on a port of the operator's choice.

`GET /metrics` feeds an adapter of external metrics and alerts; `GET /v1/pools/NAME` is what a scaler of KEDA's kind
`metrics-api` asks (`valueLocation: wanted`). Both only ever read.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from bundler.errors import HostError

_TIMEOUT_S = 10.0
_NUMBERS = {
    "wanted": ("replicas_wanted", "Replicas that there should be."),
    "ready": ("replicas_ready", "Replicas that serve."),
    "starting": ("replicas_starting", "Replicas that start."),
    "draining": ("replicas_draining", "Replicas that finish what they have."),
    "sleeping": ("replicas_sleeping", "Replicas that sleep."),
    "load": ("load_replicas", "Load that arrives, in replicas."),
    "queue": ("queue_replica_seconds", "Work that waits, in replica-seconds."),
    "expected": ("expected_load_replicas", "Load that is expected within a cold start, in replicas."),
    "cold_start_s": ("cold_start_seconds", "What 95 % of the starts take at most."),
    "measured": ("measured_share", "What a card does of what its profile says."),
}


class Page:
    """The state of all pools after the last tick."""

    def __init__(self) -> None:
        self._pools: Mapping[str, Mapping[str, Any]] = {}

    def show(self, results: Sequence[Mapping[str, Any]]) -> None:
        """Take the results of a tick."""
        self._pools = {one["pool"]: _flat(one) for one in results}

    def pool(self, name: str) -> Mapping[str, Any] | None:
        """Return what is known of a pool; one that cannot be acted on has an `error` and no `wanted`."""
        return self._pools.get(name)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield every number of every pool, and whether it could be acted on."""
        up = GaugeMetricFamily("ferry_autoscaler_up", "Whether the pool could be seen and acted on.", labels=["pool"])
        families = {
            key: GaugeMetricFamily(f"ferry_autoscaler_{name}", text, labels=["pool"])
            for key, (name, text) in _NUMBERS.items()
        }
        for name, row in self._pools.items():
            up.add_metric([name], 0.0 if "error" in row else 1.0)
            for key, family in families.items():
                if row.get(key) is not None:
                    family.add_metric([name], float(row[key]))
        yield up
        yield from families.values()


def _flat(result: Mapping[str, Any]) -> Mapping[str, Any]:
    seen, forecast = result.get("seen", {}), result.get("forecast", {})
    kept = {key: value for key, value in result.items() if key not in ("seen", "forecast", "replicas")}
    counts = {key: seen.get(key) for key in ("ready", "starting", "draining", "sleeping", "load", "queue") if seen}
    return {**kept, **counts, **({"expected": forecast["expected"]} if forecast else {})}


@contextmanager
def shown(page: Page, address: str, port: int) -> Iterator[int]:
    """Serve a page while the block runs; yield the port.

    Raises:
        HostError: nothing can listen there.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(page)
    try:
        server = ThreadingHTTPServer((address, port), _handler(page, registry))
    except OSError as error:
        raise HostError(f"cannot listen: {error.strerror}", place=f"{address}:{port}") from error
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _handler(page: Page, registry: CollectorRegistry) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = _TIMEOUT_S

        def do_GET(self) -> None:
            if self.path == "/metrics":
                self._send(200, CONTENT_TYPE_LATEST, generate_latest(registry))
                return
            name = self.path.removeprefix("/v1/pools/")
            found = page.pool(name) if name != self.path else None
            if found is None:
                self._json(404, {"error": "no such pool"})
            else:
                # A scaler that asks must hold, not scale to zero, while nothing is known.
                self._json(503 if "error" in found else 200, found)

        def _json(self, status: int, document: Mapping[str, Any]) -> None:
            self._send(status, "application/json", json.dumps(document).encode())

        def _send(self, status: int, kind: str, data: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    return Handler
