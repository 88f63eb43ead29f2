"""The loop: every pool at every tick, what was begun in between, and a file that says how it stands."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bundler.autoscaler.forecast import TICK_S
from bundler.autoscaler.service.keeper import Keeper, Moment
from bundler.errors import FerryError, HostError
from bundler.store import write_file

_SETTLE_S = 1.0
STATUS_NAME = "status.json"


def this_moment() -> Moment:
    """Return now."""
    return Moment(steady_s=time.monotonic(), wall_s=time.time(), local=datetime.now())


def serve(
    keepers: Sequence[Keeper],
    state: Path,
    *,
    stop: threading.Event,
    tell: Callable[[str], None],
    alive: Callable[[], None],
    tick_s: float = TICK_S,
    show: Callable[[Sequence[Mapping[str, Any]]], None] = lambda results: None,
) -> None:
    """Keep all pools until `stop`.

    `tell` hears of each change and trouble, `alive` each second, `show` of each tick.
    """
    due = 0.0
    told: dict[str, str] = {}
    while not stop.is_set():
        moment = this_moment()
        if moment.steady_s >= due:
            due = moment.steady_s + tick_s
            results = [keeper.tick(moment) for keeper in keepers]
            show(results)
            _publish(state, results, tell)
            _tell_changes(results, told, tell)
        for keeper in keepers:
            _settle(keeper, moment, told, tell)
        alive()
        stop.wait(_SETTLE_S)
    for keeper in keepers:
        keeper.keep()


def _settle(keeper: Keeper, moment: Moment, told: dict[str, str], tell: Callable[[str], None]) -> None:
    try:
        keeper.settle(moment)
    except (FerryError, OSError) as error:
        name = f"{keeper.config.name} "
        if told.get(name) != str(error):
            tell(f"{keeper.config.name}: {error}")
            told[name] = str(error)


def _tell_changes(results: Sequence[Mapping[str, Any]], told: dict[str, str], tell: Callable[[str], None]) -> None:
    for result in results:
        name, text = result["pool"], result.get("error") or result["reason"]
        known = str(result.get("wanted", text))
        if told.get(name) != known:
            tell(f"{name}: {text}")
            told[name] = known


def _publish(state: Path, results: Sequence[Mapping[str, Any]], tell: Callable[[str], None]) -> None:
    try:
        write_file(state / STATUS_NAME, json.dumps(results).encode(), durable=False)
    except (FerryError, OSError) as error:
        tell(f"the status cannot be written: {error}")


def read_status(state: Path) -> Sequence[Mapping[str, Any]]:
    """Return how the pools stood at the last tick.

    Raises:
        HostError: the service never ran here, or wrote something else.
    """
    path = state / STATUS_NAME
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise HostError(
            "expected the status of a running autoscaler, there is none",
            place=str(path),
            hint="start it: systemctl start ferry-autoscaler, or ferry autoscaler run --config FILE",
        ) from error
    except (OSError, ValueError) as error:
        raise HostError(f"the status cannot be read: {error}", place=str(path)) from error
    if not isinstance(found, list) or not all(isinstance(one, dict) and "pool" in one for one in found):
        raise HostError("expected a list of pools, got something else", place=str(path))
    return found
