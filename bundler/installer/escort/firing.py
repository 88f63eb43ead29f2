"""The alerts that fire now, as this host's Prometheus tells them."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

_TIMEOUT_S = 5
_MOST_BYTES = 1024 * 1024
_ORDER = {"critical": 0, "warning": 1}


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """One alert that fires: how bad it is, and what happened in both languages."""

    name: str
    severity: str
    summary: str
    summary_zh: str


def firing_alerts(port: int) -> tuple[Alert, ...]:
    """Ask Prometheus, worst first; one that does not answer is told by its own service."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
    with suppress(OSError, http.client.HTTPException, ValueError, LookupError, TypeError, AttributeError):
        try:
            connection.request("GET", "/api/v1/alerts")
            found = json.loads(connection.getresponse().read(_MOST_BYTES))["data"]["alerts"]
        finally:
            connection.close()
        return tuple(sorted(_alerts(found), key=lambda one: (_ORDER.get(one.severity, 2), one.name, one.summary)))
    return ()


def _alerts(found: list[Mapping[str, Any]]) -> Iterator[Alert]:
    for one in found:
        if one.get("state") == "firing":
            labels, told = one.get("labels", {}), one.get("annotations", {})
            summary = str(told.get("summary", ""))
            yield Alert(
                name=str(labels.get("alertname", "")),
                severity=str(labels.get("severity", "")),
                summary=summary,
                summary_zh=str(told.get("summary_zh", summary)),
            )
