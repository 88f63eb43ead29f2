"""Numbers that a service tells of itself, as Prometheus text and as the JSON that Vault answers.

Source: Prometheus text format 0.0.4; the Vault HTTP API documentation, '/sys/metrics', and its telemetry's names.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

TEXT = "text/plain; version=0.0.4; charset=utf-8"
COUNTER, GAUGE, SUMMARY = "counter", "gauge", "summary"
_QUANTILES = (0.5, 0.9, 0.99)
_RECENT = 512
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


class Summary:
    """Durations in milliseconds: all of them added up, and the last ones as they were."""

    __slots__ = ("count", "least", "most", "recent", "squares", "sum")

    def __init__(self) -> None:
        self.count = 0
        self.sum = self.squares = self.most = 0.0
        self.least = math.inf
        self.recent: deque[float] = deque(maxlen=_RECENT)

    def observe(self, value: float) -> None:
        """Take one more."""
        self.count += 1
        self.sum += value
        self.squares += value * value
        self.least = min(self.least, value)
        self.most = max(self.most, value)
        self.recent.append(value)

    def quantile(self, share: float) -> float:
        """Return what this share of the last ones did not exceed."""
        ordered = sorted(self.recent)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan

    @property
    def deviation(self) -> float:
        """Return the standard deviation of the sample."""
        if self.count < 2:
            return 0.0
        return math.sqrt(max(0.0, (self.squares - self.sum * self.sum / self.count) / (self.count - 1)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Metric:
    """One name with its values, or its durations, by their labels; `name` has dots as in Vault's own."""

    name: str
    kind: str
    text: str
    labels: tuple[str, ...] = ()
    values: Mapping[tuple[str, ...], float | Summary] = field(default_factory=dict)

    def labelled(self) -> Iterator[tuple[dict[str, str], float | Summary]]:
        """Yield each value with its labels by name."""
        for words, value in sorted(self.values.items(), key=lambda one: one[0]):
            yield dict(zip(self.labels, words, strict=True)), value


def one(name: str, kind: str, text: str, value: float | Summary) -> Metric:
    """Return a metric without labels."""
    return Metric(name=name, kind=kind, text=text, values={(): value})


def many(name: str, kind: str, text: str, labels: tuple[str, ...], counts: Mapping[Any, int]) -> Metric:
    """Return a metric with labels; the keys of the counts are the labels' values, one alone or a tuple of them."""
    values = {key if isinstance(key, tuple) else (key,): float(count) for key, count in counts.items()}
    return Metric(name=name, kind=kind, text=text, labels=labels, values=values)


def text_of(metrics: Sequence[Metric]) -> str:
    """Return Prometheus text."""
    return "".join(f"{line}\n" for metric in metrics for line in _lines(metric))


def _lines(metric: Metric) -> Iterator[str]:
    name = metric.name.replace(".", "_")
    yield f"# HELP {name} {metric.text}"
    yield f"# TYPE {name} {metric.kind}"
    for labels, value in metric.labelled():
        if not isinstance(value, Summary):
            yield f"{name}{_braced(labels)} {_number(value)}"
            continue
        for share in _QUANTILES:
            yield f"{name}{_braced({**labels, 'quantile': str(share)})} {_number(value.quantile(share))}"
        yield f"{name}_sum{_braced(labels)} {_number(value.sum)}"
        yield f"{name}_count{_braced(labels)} {value.count}"


def _braced(labels: Mapping[str, str]) -> str:
    found = ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items())
    return f"{{{found}}}" if found else ""


def _number(value: float) -> str:
    return "NaN" if math.isnan(value) else str(int(value)) if value == int(value) else repr(value)


def json_of(metrics: Sequence[Metric], now: datetime, seconds: float) -> dict[str, Any]:
    """Return Vault's JSON; what is added up covers the seconds since the start."""
    found: dict[str, Any] = {
        "Timestamp": now.strftime("%Y-%m-%d %H:%M:%S +0000 UTC"),
        "Gauges": [],
        "Points": [],
        "Counters": [],
        "Samples": [],
    }
    for metric in metrics:
        for labels, value in metric.labelled():
            part, told = _told(value, metric.kind, max(seconds, 1.0))
            found[part].append({"Name": metric.name, **told, "Labels": labels})
    return found


def _told(value: float | Summary, kind: str, seconds: float) -> tuple[str, dict[str, Any]]:
    if isinstance(value, Summary):
        mean = value.sum / value.count if value.count else 0.0
        least = value.least if value.count else 0.0
        return "Samples", _added(value.count, value.sum, seconds, (least, value.most, mean, value.deviation))
    if kind == COUNTER:
        return "Counters", _added(int(value), value, seconds, (1.0, 1.0, 1.0, 0.0) if value else (0.0,) * 4)
    return "Gauges", {"Value": value}


def _added(count: int, total: float, seconds: float, spread: Sequence[float]) -> dict[str, Any]:
    least, most, mean, deviation = spread
    return {
        "Count": count,
        "Rate": total / seconds,
        "Sum": total,
        "Min": least,
        "Max": most,
        "Mean": mean,
        "Stddev": deviation,
    }
