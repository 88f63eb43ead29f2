"""The replicas of a pool as the service sees them: its own units behind haproxy, or those of a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bundler.autoscaler.act.pool import Pool, Replica, count
from bundler.autoscaler.model import Decision
from bundler.autoscaler.observe.demand import Counts
from bundler.autoscaler.observe.dialects import Reading
from bundler.autoscaler.observe.scrape import ask_all, ask_prometheus, scrape
from bundler.errors import HostError

# A cluster that has not followed a wish for so many cold starts will not: it has no card left.
_PATIENCE = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A fleet at a moment: counts, what each replica tells, requests before all of them, and states by name."""

    counts: Counts
    readings: Mapping[str, Reading | None]
    waiting: float = 0.0
    states: Mapping[str, str]


class Fleet(Protocol):
    """What is observed and acted upon; every method raises FerryError when the other side does not answer."""

    def look(self, now_s: float, cold_s: float) -> View:
        """Return what there is."""

    def act(self, decision: Decision, now_s: float) -> None:
        """Begin what was decided about the last look."""

    def settle(self, now_s: float) -> Sequence[float]:
        """Go on with what was begun; return how long each replica took that came up."""


class Units:
    """Template units of systemd behind haproxy; metrics come from the replicas or from a Prometheus server."""

    def __init__(self, pool: Pool, prometheus: str, label: str) -> None:
        self._pool = pool
        self._prometheus = prometheus
        self._label = label
        self._seen: tuple[Replica, ...] = ()

    def look(self, now_s: float, cold_s: float) -> View:
        """Ask systemd, haproxy and the replicas."""
        self._seen = self._pool.look()
        return View(
            counts=count(self._seen),
            readings=self._read(self._seen),
            waiting=self._pool.waiting(),
            states={one.slot.server: one.state for one in self._seen if one.state != "stopped"},
        )

    def _read(self, replicas: Sequence[Replica]) -> Mapping[str, Reading | None]:
        urls = self._pool.metrics(replicas)
        if not self._prometheus:
            return scrape(urls)
        hosts = {one.slot.server: f"{one.slot.address}:{one.slot.port}" for one in replicas if one.slot.server in urls}
        found = ask_prometheus(self._prometheus, self._label, tuple(hosts.values()))
        return {server: found[host] for server, host in hosts.items()}

    def act(self, decision: Decision, now_s: float) -> None:
        """Start, wake, drain and stop."""
        self._pool.act(decision, self._seen)

    def settle(self, now_s: float) -> Sequence[float]:
        """See starts and drains through."""
        return [one.cold_s for one in self._pool.settle(self._pool.look(), now_s)]


class Cluster:
    """Replicas that a cluster's own scaler starts and stops: Ferry says how many there should be, and does nothing.

    Every instance that a Prometheus server knows is ready; what was wished for and is not there yet is starting.
    """

    def __init__(self, prometheus: str, label: str, select: Mapping[str, str]) -> None:
        self._prometheus = prometheus
        self._label = label
        self._select = dict(select)
        self._wanted = 0
        self._asked_s = 0.0

    def look(self, now_s: float, cold_s: float) -> View:
        """Ask Prometheus."""
        readings = ask_all(self._prometheus, self._label, self._select)
        if not readings:
            # Nothing known is not nothing there: whoever reads the wish keeps what it has.
            raise HostError(
                "expected metrics of at least one replica, Prometheus has none",
                place=self._prometheus,
                hint="check that it scrapes the replicas, and `label` and `select` of the pool",
            )
        ready = len(readings)
        is_coming = now_s - self._asked_s < _PATIENCE * cold_s
        return View(
            counts=Counts(ready=ready, starting=max(0, self._wanted - ready) if is_coming else 0),
            readings=readings,
            states=dict.fromkeys(readings, "ready"),
        )

    def act(self, decision: Decision, now_s: float) -> None:
        """Remember what was wished for; the scaler of the cluster reads it."""
        if decision.replicas > self._wanted:
            self._asked_s = now_s
        self._wanted = decision.replicas

    def settle(self, now_s: float) -> Sequence[float]:
        """Do nothing: nobody tells when a replica of a cluster began to start."""
        return ()
