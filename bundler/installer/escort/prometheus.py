"""What Prometheus asks whom, and which alerts it holds the answers against."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from bundler.installer.layout import MARK
from bundler.model.escort import GATEWAY, MONITORING, Escort
from bundler.model.service import Service

PROGRAM = "/usr/bin/prometheus"
CHECKER = "/usr/bin/promtool"
FILE = "prometheus.yml"
_EVERY_S = 15
_HEAD = """\
{mark} A change here is undone by the next install.
global:
  scrape_interval: {every}s
  evaluation_interval: {every}s
  scrape_timeout: 10s
rule_files: [{rules}]
scrape_configs:
"""


def render_prometheus(escort: Escort, services: Mapping[str, Service]) -> dict[str, str]:
    """Return the texts of its files by name: the configuration, and a file of alerts for each kind of figures."""
    assert escort.monitoring is not None
    jobs: dict[str, tuple[int, str]] = {MONITORING: (escort.monitoring.port, "/metrics")}
    packs = ["targets", "monitoring"]
    if escort.gateway is not None:
        jobs[GATEWAY] = (escort.gateway.metrics_port, "/metrics")
        packs.append("gateway")
    for scrape in escort.monitoring.scrape:
        jobs[scrape.service] = (services[scrape.service].port, scrape.path)
        packs += [scrape.pack] if scrape.pack and scrape.pack not in packs else []
    rules = [f"{pack}.rules.yml" for pack in packs]
    head = _HEAD.format(mark=MARK, every=_EVERY_S, rules=", ".join(rules))
    text = head + "".join(_job(name, port, path) for name, (port, path) in jobs.items())
    return {FILE: text, **{name: read_rules(name) for name in rules}}


def _job(name: str, port: int, path: str) -> str:
    return (
        f"  - job_name: {name}\n    metrics_path: {path}\n    static_configs:\n      - targets: ['127.0.0.1:{port}']\n"
    )


def read_rules(name: str) -> str:
    """Return a file of alerts as it is carried."""
    return (resources.files("bundler.installer.escort") / "alerts" / name).read_text(encoding="utf-8")
