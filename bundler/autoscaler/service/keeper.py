"""One pool under the service: each tick it is looked at, learnt from, decided and acted on; nothing ends the loop.

Whatever goes wrong at a tick (haproxy away, systemd busy, metrics torn) holds everything as it is, is told, and is
tried again at the next.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from bundler.autoscaler.act.haproxy import Haproxy
from bundler.autoscaler.act.pool import Pool
from bundler.autoscaler.decide import decide
from bundler.autoscaler.log import format_entry
from bundler.autoscaler.model import Decision, Forecast, Observation
from bundler.autoscaler.observe.demand import Observer
from bundler.autoscaler.service.coldstart import recall_starts
from bundler.autoscaler.service.config import PoolConfig
from bundler.autoscaler.service.fleet import Cluster, Fleet, Units, View
from bundler.autoscaler.service.learning import recall
from bundler.errors import FerryError
from bundler.store import write_file

_LOG_BYTES = 32 * 1024 * 1024
_OLD_LOGS = 4
_KEEP_S = 300.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """Now, by three clocks: `steady_s` only goes on, `wall_s` counts since 1970, `local` is what the wall shows."""

    steady_s: float
    wall_s: float
    local: datetime


class Keeper:
    """One pool with all that is known of it, kept in files below `directory`."""

    def __init__(self, config: PoolConfig, directory: Path) -> None:
        self.config = config
        self._directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._fleet = _fleet(config)
        self._starts = recall_starts(directory / "starts.json")
        self._learner = recall(directory / "forecast")
        known = _recall_known(directory / "known.json")
        self._observer = Observer(replace(config.profile, measured=known.get("measured", 1.0)), known.get("work"))
        self._needs: tuple[int, ...] = ()
        self._kept_s = 0.0

    def settle(self, moment: Moment) -> None:
        """Go on with what was begun; called more often than `tick`.

        Raises:
            FerryError: haproxy or systemd does not answer.
        """
        for seconds in self._fleet.settle(moment.steady_s):
            self._starts.add(seconds)

    def tick(self, moment: Moment) -> Mapping[str, Any]:
        """Look, decide, act; return what an operator wants to know."""
        try:
            cold_s = self._starts.p95(self.config.limits.cold_s)
            view = self._fleet.look(moment.steady_s, cold_s)
            seen = self._observer.observe(moment.steady_s, view.readings, view.counts, view.waiting)
            forecast = self._learner.learn(moment.wall_s, seen.load, cold_s)
            limits = replace(self.config.limits, cold_s=cold_s, is_frozen=self.config.is_frozen(moment.local))
            decision = decide(seen, forecast, limits, self._needs)
            self._log(format_entry(seen, forecast, limits, self._needs, decision))
            self._needs = decision.needs
            self._fleet.act(decision, moment.steady_s)
            self._keep_sometimes(moment)
            return self._told(moment, view, seen, forecast, decision, cold_s)
        except (FerryError, OSError) as error:
            return {"pool": self.config.name, "at": moment.wall_s, "error": str(error)}

    def _told(
        self,
        moment: Moment,
        view: View,
        seen: Observation,
        forecast: Forecast,
        decision: Decision,
        cold_s: float,
    ) -> Mapping[str, Any]:
        return {
            "pool": self.config.name,
            "at": moment.wall_s,
            "wanted": decision.replicas,
            "reason": decision.reason,
            "replicas": dict(view.states),
            "seen": asdict(seen),
            "forecast": asdict(forecast),
            "cold_start_s": cold_s,
            "cold_starts": self._starts.count,
            "accelerator": self.config.profile.name,
            "measured": self._observer.profile.measured,
        }

    def _log(self, line: str) -> None:
        path = self._directory / "decisions.log"
        if path.exists() and path.stat().st_size > _LOG_BYTES:
            for number in range(_OLD_LOGS - 1, 0, -1):
                older = path.with_name(f"decisions.log.{number}")
                if older.exists():
                    older.replace(path.with_name(f"decisions.log.{number + 1}"))
            path.replace(path.with_name("decisions.log.1"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o640)
        with os.fdopen(descriptor, "a", encoding="utf-8") as file:
            file.write(line)

    def _keep_sometimes(self, moment: Moment) -> None:
        if moment.steady_s - self._kept_s >= _KEEP_S:
            self._kept_s = moment.steady_s
            self.keep()

    def keep(self) -> None:
        """Write down what was learnt.

        Raises:
            OSError, HostError: it cannot be written.
        """
        self._learner.keep(self._directory / "forecast")
        self._starts.keep(self._directory / "starts.json")
        known = {"measured": self._observer.profile.measured, "work": self._observer.work}
        write_file(self._directory / "known.json", json.dumps(known).encode(), durable=False)


def _fleet(config: PoolConfig) -> Fleet:
    if not config.slots:
        return Cluster(config.prometheus, config.label, config.select)
    pool = Pool(config.slots, Haproxy(config.haproxy, config.backend), config.options)
    return Units(pool, config.prometheus, config.label)


def _recall_known(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        measured, work = float(found["measured"]), found["work"]
        if 0 < measured < 1000 and (work is None or 0 < float(work) < 1e6):
            return {"measured": measured, "work": work}
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return {}
