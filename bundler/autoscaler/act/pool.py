"""A pool of replicas: units of systemd behind a backend of haproxy; what there is is always asked, never remembered.

So the service can be killed at any moment. A replica runs (systemd), answers (its own port) and gets requests
(haproxy); its state follows from the three.
"""

from __future__ import annotations

import http.client
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

from bundler.autoscaler.act import units
from bundler.autoscaler.act.haproxy import Haproxy, Server
from bundler.autoscaler.model import Decision
from bundler.autoscaler.observe.demand import Counts

State = Literal["stopped", "starting", "ready", "draining", "sleeping", "stopping"]

Value = TypeVar("Value")
Result = TypeVar("Result")

_PROBE_TIMEOUT_S = 2.0
# To wake a server moves its weights from the host's memory to the card.
_WAKE_TIMEOUT_S = 60.0
_AT_ONCE = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """A place for one replica: its unit, its name in haproxy, and where it listens."""

    unit: str
    server: str
    address: str
    port: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Replica:
    """A slot with what is in it; `since_s` is when its unit began to start, by the monotonic clock."""

    slot: Slot
    state: State
    sessions: int = 0
    since_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """How replicas are asked: `ready` and `metrics` are paths; at most `most_asleep` sleep instead of being stopped.

    Each gets `at_once` requests (0: any number); more wait in haproxy, where the next replica that comes takes them.
    """

    ready: str = "/health"
    metrics: str = "/metrics"
    most_asleep: int = 0
    drain_s: float = 600.0
    at_once: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Became:
    """A replica that came up, and how long that took."""

    slot: Slot
    cold_s: float


class Pool:
    """The replicas of one service."""

    def __init__(self, slots: Sequence[Slot], haproxy: Haproxy, options: Options) -> None:
        self._slots = tuple(slots)
        self._haproxy = haproxy
        self._options = options
        # Since when each replica drains: a service that is restarted gives them their time anew.
        self._draining: dict[str, float] = {}
        self._silent: frozenset[str] = frozenset()

    def look(self) -> tuple[Replica, ...]:
        """Return all replicas as they are.

        Raises:
            HostError, StepError: systemd or haproxy does not answer.
        """
        found = units.read_units([one.unit for one in self._slots])
        servers = self._haproxy.servers()
        running = [one for one in self._slots if found[one.unit].runs]
        unused = [one for one in running if _is_unused(servers.get(one.server))]
        asleep = self._asleep(unused) if self._options.most_asleep else frozenset()
        return tuple(self._replica(one, found[one.unit], servers.get(one.server), asleep) for one in self._slots)

    def _replica(self, slot: Slot, unit: units.Unit, server: Server | None, asleep: frozenset[str]) -> Replica:
        sessions = server.sessions if server else 0
        return Replica(slot=slot, state=_state(slot, unit, server, asleep), sessions=sessions, since_s=unit.since_s)

    def _asleep(self, slots: Sequence[Slot]) -> frozenset[str]:
        def one(slot: Slot) -> bool:
            status, body = _request(slot, "GET", "/is_sleeping", _PROBE_TIMEOUT_S)
            return status == http.client.OK and b"true" in body

        return frozenset(slot.unit for slot, is_asleep in zip(slots, _each(one, slots), strict=True) if is_asleep)

    def settle(self, replicas: Sequence[Replica], now_s: float) -> tuple[Became, ...]:
        """Go on with what was begun: who answers gets requests, who has drained sleeps or ends, who died is left out.

        Raises:
            HostError, StepError: systemd or haproxy does not answer.
        """
        servers = self._haproxy.servers()
        for one in replicas:
            known = servers.get(one.slot.server)
            if one.state == "stopped" and known is not None and not _is_unused(known):
                self._haproxy.maintain(one.slot.server)
        came = self._admit([one for one in replicas if one.state == "starting"], servers, now_s)
        self._suspend([one for one in replicas if one.state == "ready"])
        self._dismiss(replicas, now_s)
        return came

    def _suspend(self, ready: Sequence[Replica]) -> None:
        """Give nothing to a replica that was silent twice: systemd has started it anew, or it hangs."""
        answers = _each(lambda one: self.answers(one.slot), ready)
        silent = frozenset(one.slot.unit for one, is_up in zip(ready, answers, strict=True) if not is_up)
        for one in ready:
            if one.slot.unit in silent & self._silent:
                self._haproxy.maintain(one.slot.server)
        self._silent = silent

    def _admit(self, starting: Sequence[Replica], servers: Mapping[str, Server], now_s: float) -> tuple[Became, ...]:
        answers = _each(lambda one: self.answers(one.slot), starting)
        came = [one for one, is_up in zip(starting, answers, strict=True) if is_up]
        for one in came:
            if one.slot.server not in servers:
                self._haproxy.add(one.slot.server, one.slot.address, one.slot.port, self._options.at_once)
            self._haproxy.ready(one.slot.server)
        return tuple(Became(slot=one.slot, cold_s=now_s - one.since_s) for one in came)

    def _dismiss(self, replicas: Sequence[Replica], now_s: float) -> None:
        draining = [one for one in replicas if one.state == "draining"]
        self._draining = {one.slot.unit: self._draining.get(one.slot.unit, now_s) for one in draining}
        asleep = sum(one.state == "sleeping" for one in replicas)
        for one in draining:
            waited = now_s - self._draining[one.slot.unit]
            if one.sessions and waited < self._options.drain_s:
                continue
            self._haproxy.maintain(one.slot.server)
            if asleep < self._options.most_asleep and not one.sessions and self._sleep(one.slot):
                asleep += 1
            else:
                units.stop([one.slot.unit])

    def act(self, decision: Decision, replicas: Sequence[Replica]) -> None:
        """Begin what was decided; it is done when `settle` has seen it through.

        Raises:
            HostError, StepError: systemd or haproxy does not answer.
        """
        for one in _some(replicas, "draining", decision.undrain):
            self._haproxy.ready(one.slot.server)
        self._wake(_some(replicas, "sleeping", decision.wake))
        units.start([one.slot.unit for one in _some(replicas, "stopped", decision.start)])
        # The latest start has the longest way to go.
        youngest = sorted(replicas, key=lambda one: -one.since_s)
        units.stop([one.slot.unit for one in _some(youngest, "starting", decision.cancel)])
        idle = sorted(replicas, key=lambda one: (one.sessions, -one.since_s))
        for one in _some(idle, "ready", decision.drain):
            self._haproxy.drain(one.slot.server)

    def answers(self, slot: Slot) -> bool:
        """Say whether a replica is ready for requests."""
        return _request(slot, "GET", self._options.ready, _PROBE_TIMEOUT_S)[0] == http.client.OK

    def waiting(self) -> int:
        """Return how many requests wait for any replica.

        Raises:
            HostError: haproxy does not answer.
        """
        return self._haproxy.waiting()

    def metrics(self, replicas: Sequence[Replica]) -> Mapping[str, str]:
        """Return where each replica that serves, or still does, tells its metrics."""
        return {
            one.slot.server: f"http://{one.slot.address}:{one.slot.port}{self._options.metrics}"
            for one in replicas
            if one.state in ("ready", "draining")
        }

    def _sleep(self, slot: Slot) -> bool:
        return _request(slot, "POST", "/sleep?level=1", _WAKE_TIMEOUT_S)[0] == http.client.OK

    def _wake(self, sleeping: Sequence[Replica]) -> None:
        awake = _each(lambda one: _request(one.slot, "POST", "/wake_up", _WAKE_TIMEOUT_S)[0], sleeping)
        for one, status in zip(sleeping, awake, strict=True):
            if status == http.client.OK:
                self._haproxy.ready(one.slot.server)
            else:
                # One that does not wake is no use to anybody; the next decision starts another.
                units.stop([one.slot.unit])


def count(replicas: Sequence[Replica]) -> Counts:
    """Return how many replicas are in which state."""

    def of(state: State) -> int:
        return sum(one.state == state for one in replicas)

    return Counts(ready=of("ready"), starting=of("starting"), draining=of("draining"), sleeping=of("sleeping"))


def _some(replicas: Sequence[Replica], state: State, most: int) -> list[Replica]:
    return [one for one in replicas if one.state == state][:most]


def _is_unused(server: Server | None) -> bool:
    return server is None or server.state == "MAINT"


def _state(slot: Slot, unit: units.Unit, server: Server | None, asleep: frozenset[str]) -> State:
    if unit.active == "deactivating":
        return "stopping"
    if not unit.runs:
        return "stopped"
    if slot.unit in asleep:
        return "sleeping"
    if server is None or server.state in ("MAINT", "DOWN"):
        return "starting"
    return "draining" if server.state == "DRAIN" else "ready"


def _each(function: Callable[[Value], Result], values: Sequence[Value]) -> list[Result]:
    if not values:
        return []
    with ThreadPoolExecutor(min(_AT_ONCE, len(values))) as threads:
        return list(threads.map(function, values))


def _request(slot: Slot, method: str, path: str, timeout_s: float) -> tuple[int, bytes]:
    """Ask a replica; status 0 is no answer."""
    connection = http.client.HTTPConnection(slot.address, slot.port, timeout=timeout_s)
    try:
        connection.request(method, path)
        reply = connection.getresponse()
        return reply.status, reply.read(4096)
    except (OSError, http.client.HTTPException):
        return 0, b""
    finally:
        connection.close()
