"""Prometheus text, and answers of a Prometheus server, as samples.

Source: Prometheus exposition formats 0.0.4; Prometheus HTTP API, instant queries.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from bundler.errors import HostError

MOST_BYTES = 8 * 1024 * 1024
# What the parser lets out for text that is none; it promises only a ValueError.
_NOT_METRICS = (ValueError, IndexError, KeyError, TypeError, AttributeError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One value of a series."""

    name: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


def parse_metrics(text: str, *, place: str) -> tuple[Sample, ...]:
    """Return the samples of an exposition; those that are not a number are left out.

    Raises:
        HostError: the text is none.
    """
    try:
        found = tuple(
            Sample(name=one.name, value=float(one.value), labels=one.labels)
            for family in text_string_to_metric_families(text)
            for one in family.samples
            if math.isfinite(one.value)
        )
    except _NOT_METRICS as error:
        raise HostError(
            f"expected metrics as Prometheus text, got {text[:60]!r}",
            place=place,
            hint="name the path of the metrics, usually /metrics",
        ) from error
    return found


def parse_answer(text: str, *, place: str, label: str) -> Mapping[str, tuple[Sample, ...]]:
    """Return the samples of an instant query of a Prometheus server, by the value of a label.

    Raises:
        HostError: it is no vector, or an error.
    """
    try:
        document = json.loads(text)
        if document["status"] != "success" or document["data"]["resultType"] != "vector":
            raise HostError(f"expected a vector, got {_shown(document)}", place=place)
        rows = [_row(row) for row in document["data"]["result"]]
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise HostError(
            f"expected an answer of Prometheus, got {text[:60]!r}",
            place=place,
            hint="name the server's own address, such as http://127.0.0.1:9090",
        ) from error
    found: dict[str, list[Sample]] = {}
    for sample in rows:
        if label in sample.labels and math.isfinite(sample.value):
            found.setdefault(sample.labels[label], []).append(sample)
    return {name: tuple(samples) for name, samples in found.items()}


def _row(row: Any) -> Sample:
    labels = {str(name): str(value) for name, value in row["metric"].items()}
    return Sample(name=labels.pop("__name__", ""), value=float(row["value"][1]), labels=labels)


def _shown(document: Any) -> str:
    return str(document.get("error") or document["data"]["resultType"])[:200]
