"""The log of decisions: one JSON object a line with all inputs, so that each can be decided again."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from bundler.autoscaler.model import Decision, Forecast, Limits, Observation
from bundler.errors import HostError, IntegrityError

Value = TypeVar("Value", Observation, Forecast, Limits)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One decision with what it was taken from."""

    place: str
    seen: Observation
    forecast: Forecast
    limits: Limits
    needs: tuple[int, ...]
    replicas: int


def format_entry(
    seen: Observation, forecast: Forecast, limits: Limits, needs: tuple[int, ...], decision: Decision
) -> str:
    """Return the line of a decision."""
    document = {
        "seen": asdict(seen),
        "forecast": asdict(forecast),
        "limits": asdict(limits),
        "needs": needs,
        "replicas": decision.replicas,
        "reason": decision.reason,
    }
    return json.dumps(document, ensure_ascii=False) + "\n"


def read_log(path: Path) -> Iterator[Entry]:
    """Read a log.

    Raises:
        HostError: a line is no decision.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        for number, line in enumerate(file, start=1):
            yield _entry(line, f"{path}:{number}")


def _entry(line: str, place: str) -> Entry:
    try:
        document = json.loads(line)
    except ValueError as error:
        raise HostError("expected a JSON object a line, got something else", place=place) from error
    if not isinstance(document, dict):
        raise HostError("expected a JSON object a line, got something else", place=place)
    needs, replicas = document.get("needs"), document.get("replicas")
    if not isinstance(needs, list) or not all(isinstance(each, int) for each in needs):
        raise HostError('expected whole numbers as "needs"', place=place)
    if not isinstance(replicas, int):
        raise HostError('expected a whole number as "replicas"', place=place)
    return Entry(
        place=place,
        seen=_value(Observation, document, "seen", place),
        forecast=_value(Forecast, document, "forecast", place),
        limits=_value(Limits, document, "limits", place),
        needs=tuple(needs),
        replicas=replicas,
    )


def _value(kind: type[Value], document: Mapping[str, Any], name: str, place: str) -> Value:
    row = document.get(name)
    names = {each.name for each in fields(kind)}
    if not isinstance(row, dict) or set(row) != names:
        raise HostError(f'expected an object with {", ".join(sorted(names))} as "{name}"', place=place)
    for key, value in row.items():
        if not (value is None or isinstance(value, int | float)):
            raise HostError(f"expected a number, got {json.dumps(value)[:40]}", place=f"{place}: {name}.{key}")
    try:
        return kind(**row)
    except TypeError as error:
        raise HostError(f'expected numbers in "{name}", got null', place=place) from error


def replay(entry: Entry, decide: Callable[[Observation, Forecast, Limits, tuple[int, ...]], Decision]) -> Decision:
    """Decide again.

    Raises:
        IntegrityError: the decision is not the one that was logged.
    """
    decision = decide(entry.seen, entry.forecast, entry.limits, entry.needs)
    if decision.replicas != entry.replicas:
        raise IntegrityError(
            f"expected {entry.replicas} replicas as logged, got {decision.replicas}",
            place=entry.place,
            hint="the log was changed, or was written by another version",
        )
    return decision
