#!/usr/bin/env python3
"""Measure Ferry beside a peer or the physical limit, in the same run: a ratio carries over, a figure alone does not.

Speeds and seconds are the best of the runs, their median beside them; ratios are between bests. Everything is read
from a warm page cache. Memory is the largest resident set of the program itself.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"

if __name__ == "__main__" and (VENV / "bin/python").exists() and Path(sys.prefix).resolve() != VENV.resolve():
    os.execv(VENV / "bin/python", [str(VENV / "bin/python"), __file__, *sys.argv[1:]])

from bench.autoscaler import autoscaler  # noqa: E402
from bench.build import build  # noqa: E402
from bench.bundle import bundle  # noqa: E402
from bench.delta import delta  # noqa: E402
from bench.fetch import fetch  # noqa: E402
from bench.install import install  # noqa: E402
from bench.keystore import keystore  # noqa: E402
from bench.measure import Bench, BenchError, Line, Measurement  # noqa: E402
from bench.parity import parity  # noqa: E402
from bench.registry import registry  # noqa: E402
from bench.verify import verify  # noqa: E402

AREAS: Mapping[str, Callable[[Bench], Iterable[Line]]] = {
    "fetch": fetch,
    "build": build,
    "bundle": bundle,
    "verify": verify,
    "install": install,
    "registry": registry,
    "parity": parity,
    "delta": delta,
    "keystore": keystore,
    "autoscaler": autoscaler,
}
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_LEAST_BYTES = 1024 * 1024


def parse_size(text: str) -> int:
    """Return the bytes that `2g`, `512m` or a plain number says."""
    number, unit = (text[:-1], text[-1].lower()) if text[-1:].isalpha() else (text, "")
    if not number.isdecimal() or unit not in _UNITS or int(number) * _UNITS[unit] < _LEAST_BYTES:
        raise argparse.ArgumentTypeError(f'expected a size of at least 1m such as 2g or 512m, got "{text}"')
    return int(number) * _UNITS[unit]


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f'expected a number of runs of at least 1, got "{text}"')
    return int(text)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="bench.py", description=(__doc__ or "").splitlines()[0])
    made.add_argument("areas", nargs="+", choices=AREAS, metavar="AREA", help=f"any of: {', '.join(AREAS)}")
    made.add_argument("--json", action="store_true", help="print one JSON document instead of tables")
    made.add_argument("--size", type=parse_size, default="2g", help="of the bundle that is packed and verified (2g)")
    made.add_argument("--runs", type=_count, default=3, help="how often everything is measured (3)")
    made.add_argument("--recipe", type=Path, default=ROOT / "recipes/hello", help="built and installed (recipes/hello)")
    return made


def store_directory() -> Path:
    """Return where the content store is, as `ferry build` finds it, without loading Ferry into this process."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("FERRY_STORE") or Path(cache) / "ferry" / "store")


def table(area: str, lines: Sequence[Line]) -> str:
    """Return the lines of an area for a person."""
    rows = [(name, *_cells(one)) for name, one in lines]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    shown = [
        f"  {name:<{widths[0]}}  {value:>{widths[1]}}  {unit:<{widths[2]}}  {rest}" for name, value, unit, rest in rows
    ]
    return "\n".join([area, *(line.rstrip() for line in shown)])


def _cells(one: Measurement) -> tuple[str, str, str]:
    if one.value is None:
        return "-", "", f"skipped: {one.skipped}"
    ratios = [f"{ratio:.2f} x {peer}" for peer, ratio in one.ratios.items()]
    median = [] if one.median is None else [f"median {_shown(one.median)}"]
    return _shown(one.value), one.unit, "; ".join(median + ratios)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def measure(options: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, dict[str, object]]:
    """Measure each area, tell its table, and return everything for programs."""
    beside = store_directory().parent
    beside.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-", dir=beside) as work:
        bench = Bench(work=Path(work), size=options.size, runs=options.runs, recipe=options.recipe.resolve())
        tell(
            f"{os.cpu_count()} cores, warm page cache, bundle of {options.size:,} bytes, best of {options.runs} runs\n"
        )
        for area in dict.fromkeys(options.areas):
            lines = list(AREAS[area](bench))
            tell(table(area, lines) + "\n")
            results[area] = {name: one.document() for name, one in lines}
    return results


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status."""
    options = parser().parse_args(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with contextlib.redirect_stdout(sys.stderr if options.json else sys.stdout):
            results = measure(options, print)
    except BenchError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    if options.json:
        print(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
