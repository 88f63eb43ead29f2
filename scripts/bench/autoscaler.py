"""Policies at equal service: GPU-hours of Ferry's autoscaler beside those of tuned HPA and KPA, on drawn families."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from bench.measure import FERRY, Bench, Line, Measurement, run

# Load by the hour, as shares of the mean: an office's day, ten days of it, and steps that nobody can foresee.
_OFFICE = (2, 2, 2, 2, 3, 4, 8, 14, 20, 22, 22, 20, 16, 20, 22, 22, 20, 16, 10, 7, 5, 4, 3, 2)
_STEPS = (8, 8, 20, 20, 12, 12, 25, 9, 9, 14, 6, 6, 18, 18, 30, 11, 11, 7, 7, 16, 22, 10, 10, 13)
_FAMILIES = {"office": _OFFICE * 7, "steps": _STEPS * 3}
_WINDOW_S = 600


def autoscaler(bench: Bench) -> Iterator[Line]:
    """Measure each family at a cold start of 120 and 300 s and an attainment of 99.5 %."""
    for family, hours in _FAMILIES.items():
        path = bench.work / f"{family}.csv"
        _write(path, hours)
        for cold_s in (120, 300):
            words = ("autoscaler", "simulate", "--trace", str(path), "--cold-start", str(cold_s))
            cost = run([*FERRY, *words, "--attainment", "0.995", "--requests", "1000000", "--json"])
            row = json.loads(cost.output)["attainment"]["0.995"]
            peers = {name: row["ferry"] / row[name] for name in ("hpa", "kpa", "clairvoyant")}
            yield (
                f"{family}, cold start {cold_s} s",
                Measurement(value=row["ferry"], unit="% of static", ratios=peers),
            )


def _write(path: Path, hours: tuple[int, ...]) -> None:
    """Write windows that go straight from the middle of each hour to that of the next."""
    lines = ["t,rate_rps,covered_rate_rps,in_tok_s,out_tok_s"]
    steps = 3600 // _WINDOW_S
    for index in range((len(hours) - 1) * steps):
        hour, part = divmod(index, steps)
        rate = hours[hour] + (hours[hour + 1] - hours[hour]) * part / steps
        lines.append(f"{index * _WINDOW_S},{rate:.4f},{rate:.4f},{rate * 800:.1f},{rate * 200:.1f}")
    path.write_text("\n".join(lines) + "\n")
