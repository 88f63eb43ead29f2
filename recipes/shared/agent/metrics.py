"""Count what the service does, as Prometheus text (exposition format 0.0.4)."""

import os
import time
from dataclasses import dataclass, field
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OUTCOMES = ("completed", "failed", "cancelled")
BUCKETS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


@dataclass(kw_only=True, slots=True)
class Series:
    """One counter or gauge with its labels."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...] = ()
    values: dict[tuple[str, ...], float] = field(default_factory=dict)

    def add(self, *labels: str, by: float = 1) -> None:
        self.values[labels] = self.values.get(labels, 0) + by

    def set(self, value: float, *labels: str) -> None:
        self.values[labels] = value

    def lines(self) -> list[str]:
        body = [f"{self.name}{_labels(self.labels, at)} {_number(value)}" for at, value in sorted(self.values.items())]
        return [f"# HELP {self.name} {self.help}", f"# TYPE {self.name} {self.kind}", *body]


@dataclass(kw_only=True, slots=True)
class Histogram:
    """One histogram over fixed buckets, with one label."""

    name: str
    help: str
    label: str
    bounds: tuple[float, ...]
    counts: dict[str, list[int]] = field(default_factory=dict)
    sums: dict[str, float] = field(default_factory=dict)

    def observe(self, label: str, value: float) -> None:
        counts = self.counts.setdefault(label, [0] * (len(self.bounds) + 1))
        for index, bound in enumerate(self.bounds):
            counts[index] += value <= bound
        counts[-1] += 1
        self.sums[label] = self.sums.get(label, 0.0) + value

    def lines(self) -> list[str]:
        lines = [f"# HELP {self.name} {self.help}", f"# TYPE {self.name} histogram"]
        for label, counts in sorted(self.counts.items()):
            for bound, count in zip((*map(_number, self.bounds), "+Inf"), counts, strict=True):
                lines.append(f"{self.name}_bucket{_labels((self.label, 'le'), (label, bound))} {count}")
            lines.append(f"{self.name}_sum{_labels((self.label,), (label,))} {_number(self.sums[label])}")
            lines.append(f"{self.name}_count{_labels((self.label,), (label,))} {counts[-1]}")
        return lines


class Metrics:
    """Every series of one process."""

    def __init__(self, max_concurrent: int) -> None:
        self.requests = Series(
            name="agent_http_requests_total",
            kind="counter",
            help="HTTP requests by method, route and status.",
            labels=("method", "route", "status"),
        )
        self.conversations = Series(
            name="agent_conversations_total",
            kind="counter",
            help="Conversations by outcome, as told by the last event of their stream.",
            labels=("outcome",),
        )
        self.in_flight = _gauge("agent_conversations_in_flight", "Conversations being answered now.")
        self.limit = _gauge("agent_conversations_limit", "Conversations answered at once before 503.")
        self.model_up = _gauge("agent_model_up", "1 when the model endpoint serves the model, else 0.")
        self.tokens = Series(
            name="agent_model_tokens_total",
            kind="counter",
            help="Tokens the model reported, by kind.",
            labels=("kind",),
        )
        self.duration = Histogram(
            name="agent_conversation_duration_seconds",
            help="Time from the request to the last event, by outcome.",
            label="outcome",
            bounds=BUCKETS_S,
        )
        self.started = time.time()
        self._zero(max_concurrent)

    def _zero(self, max_concurrent: int) -> None:
        # A rate over a series that appears with its first failure misses that failure.
        for outcome in OUTCOMES:
            self.conversations.set(0, outcome)
        for kind in ("input", "output"):
            self.tokens.set(0, kind)
        self.in_flight.set(0)
        self.model_up.set(0)
        self.limit.set(max_concurrent)

    def render(self) -> str:
        """Return all series as text."""
        own = (self.requests, self.conversations, self.duration, self.in_flight, self.limit)
        families = (*own, self.model_up, self.tokens, *_process(self.started))
        return "\n".join(line for family in families for line in family.lines()) + "\n"


def _process(started: float) -> tuple[Series, ...]:
    cpu = Series(name="process_cpu_seconds_total", kind="counter", help="User and system CPU time.")
    times = os.times()
    cpu.set(times.user + times.system)
    start = _gauge("process_start_time_seconds", "Start time since the epoch.")
    start.set(started)
    memory = _gauge("process_resident_memory_bytes", "Resident memory.")
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    memory.set(pages * os.sysconf("SC_PAGE_SIZE"))
    return (cpu, start, memory)


def _gauge(name: str, text: str) -> Series:
    return Series(name=name, kind="gauge", help=text)


def _labels(names: tuple[str, ...], values: tuple[str, ...]) -> str:
    if not names:
        return ""
    pairs = (f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))
