"""Step `health`: every service that was started answers that it is ready."""

from __future__ import annotations

import time

from bundler.errors import HostError
from bundler.installer.answer import why_not_ready
from bundler.installer.facts import Facts
from bundler.installer.layout import unit_name
from bundler.installer.steps.services import reasons_to_start
from bundler.installer.steps.step import Action, Job
from bundler.installer.systemd import Systemd
from bundler.installer.wanted import Wanted
from bundler.model.service import Service

NAME = "health"
_PAUSE_S = 0.1
_LOG_LINES = 20
# A service that systemd had to start again so often does not come up by waiting.
_MOST_RESTARTS = 3


def due(wanted: Wanted, facts: Facts) -> Action | None:
    """Due when services are started."""
    names = tuple(reasons_to_start(wanted, facts))
    return Action(step=NAME, reason=f"waits until {', '.join(names)} can work", detail=names) if names else None


def apply(job: Job) -> None:
    """Wait for each service in turn.

    Raises:
        HostError: one ends, or is not ready in its time; the last lines of its log are in the message.
    """
    for service in job.wanted.services:
        if service.name in reasons_to_start(job.wanted, job.facts):
            wait_until_ready(job.systemd, service)


def wait_until_ready(systemd: Systemd, service: Service) -> None:
    """Wait until a service that was started can work.

    Raises:
        HostError: it ends, or is not ready in its time; the last lines of its log are in the message.
    """
    unit = unit_name(service.name)
    deadline = time.monotonic() + service.start_timeout_s
    while (why := why_not_ready(service)) is not None:
        state = systemd.states([unit])[unit]
        if state.active in ("failed", "inactive") or state.restarts >= _MOST_RESTARTS:
            raise _failure(systemd, service, f"it ended ({state.active}, started again {state.restarts} times)")
        if time.monotonic() > deadline:
            raise _failure(systemd, service, f"not after {service.start_timeout_s} s: {why}")
        time.sleep(_PAUSE_S)


def _failure(systemd: Systemd, service: Service, why: str) -> HostError:
    unit = unit_name(service.name)
    log = systemd.log(unit, _LOG_LINES)
    return HostError(f"expected {unit} to become ready, {why}\n{log}".rstrip(), place=f"services: {service.name}")


def undo(job: Job) -> None:
    """Nothing was changed."""
