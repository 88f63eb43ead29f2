#!/usr/bin/env python3
"""Install a bundle many times in a row on an isolated machine, and print how many came up and how long they took.

Each round installs from the stick, asks every service whether it is ready, removes everything and looks whether the
machine has the files that it had before. With `--cut` the power goes at a random instant of each install first, and a
resume (or, in every other round, a rollback and a new install) must bring it to the same end. Needs root.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from isolated.host import MachineError
from isolated.machine import Machine

_TIMEOUT_S = 900
_LEFT_OUT = ("/proc", "/sys", "/run", "/tmp", "/mnt", "/var/log", "/var/tmp", "/var/lib/systemd", "/var/cache", "/root")
_BOOKS = ("/var/lib/dpkg", "/var/lib/apt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One install: how long until its services answered, and what was wrong, "" for nothing."""

    seconds: float
    wrong: str
    recovered_s: float | None = None


def main(argv: Sequence[str]) -> int:
    """Run all rounds, print a table and a summary; return 0 only when every install came up."""
    options = _options(argv)
    with _machine(options) as machine:
        rounds = []
        for number in range(1, options.rounds + 1):
            rounds.append(_round(machine, options, number))
            _show(number, rounds[-1])
    _summary(rounds, as_json=options.json)
    return int(any(one.wrong for one in rounds))


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="endurance.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("bundle", type=Path, help="the bundle; its directory becomes the stick")
    parser.add_argument("--trust", type=Path, required=True, help="the builder's public key, in the same directory")
    parser.add_argument("--rounds", type=int, default=50, help="how many installs; default: %(default)d")
    parser.add_argument("--suite", default="bookworm", help="Debian's code name; default: %(default)s")
    parser.add_argument("--cut", action="store_true", help="cut the power in each install first")
    parser.add_argument("--seed", type=int, default=0, help="of the instants at which the power goes")
    parser.add_argument("--work", type=Path, help="where the machine's disk stands; default: a temporary directory")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser.parse_args(argv)


@contextmanager
def _machine(options: argparse.Namespace) -> Iterator[Machine]:
    with tempfile.TemporaryDirectory(dir=options.work) as work:
        machine = Machine.create(options.suite, Path(work) / "host")
        try:
            _boot(machine, options)
            machine.run(["sh", "-c", f"cd /root && tar --occurrence=1 -xf {_bundle(options)} install.sh"])
            yield machine
        finally:
            machine.destroy()


def _boot(machine: Machine, options: argparse.Namespace) -> None:
    machine.boot(binds_ro={options.bundle.resolve().parent: "/mnt/stick"})


def _bundle(options: argparse.Namespace) -> str:
    return f"/mnt/stick/{options.bundle.name}"


def _round(machine: Machine, options: argparse.Namespace, number: int) -> Round:
    before = _files(machine)
    try:
        recovered = _cut(machine, options, number) if options.cut else None
        seconds = 0.0 if _has_command(machine) else _install(machine, options)
        _check_healthy(machine)
        machine.run(["ferry", "host", "uninstall", "--yes"], timeout_s=_TIMEOUT_S)
    except MachineError as error:
        return Round(seconds=0.0, wrong=str(error))
    left = before ^ _files(machine)
    return Round(seconds=seconds, wrong=f"left: {sorted(left)[:5]}" if left else "", recovered_s=recovered)


def _install(machine: Machine, options: argparse.Namespace) -> float:
    began = time.monotonic()
    machine.run(_argv(options), timeout_s=_TIMEOUT_S)
    return time.monotonic() - began


def _argv(options: argparse.Namespace) -> list[str]:
    return ["sh", "/root/install.sh", _bundle(options), "--trust", f"/mnt/stick/{options.trust.name}", "--yes"]


def _cut(machine: Machine, options: argparse.Namespace, number: int) -> float:
    """Cut the power somewhere in an install; return how long it took to recover, without the boot."""
    process = machine.start(_argv(options))
    time.sleep(random.Random(options.seed + number).uniform(0.2, 8))
    machine.kill()
    process.wait(30)
    _boot(machine, options)
    began = time.monotonic()
    if _has_command(machine):
        word = "resume" if number % 2 else "rollback"
        machine.run(["ferry", "host", word, "--yes"], timeout_s=_TIMEOUT_S, check=word == "resume")
    return time.monotonic() - began


def _has_command(machine: Machine) -> bool:
    return (machine.root / "usr/local/bin/ferry").exists()


def _check_healthy(machine: Machine) -> None:
    told = json.loads(machine.run(["ferry", "host", "status", "--json"], timeout_s=_TIMEOUT_S).stdout)
    if told["health"] != "healthy" or told["unfinished"] is not None:
        raise MachineError(f"not healthy: {told}")


def _files(machine: Machine) -> frozenset[str]:
    words = [word for path in (*_LEFT_OUT, *_BOOKS) for word in ("-not", "-path", f"{path}/*")]
    return frozenset(machine.run(["find", "/", "-xdev", *words]).stdout.splitlines())


def _show(number: int, one: Round) -> None:
    recovered = "" if one.recovered_s is None else f"  recovered in {one.recovered_s:6.1f} s"
    print(f"{number:>4}  {one.seconds:7.1f} s{recovered}  {one.wrong or 'ready'}", flush=True)


def _summary(rounds: Sequence[Round], *, as_json: bool) -> None:
    right = [one for one in rounds if not one.wrong]
    times = sorted(one.seconds for one in right if one.seconds) or [0.0]
    told = {
        "rounds": len(rounds),
        "succeeded": len(right),
        "median_s": round(statistics.median(times), 1),
        "slowest_s": round(times[-1], 1),
        "fastest_s": round(times[0], 1),
    }
    if as_json:
        print(json.dumps(told))
        return
    share = 100 * len(right) / len(rounds)
    print(f"{len(right)} of {len(rounds)} installs came up and left nothing behind: {share:.0f} %")
    print(f"time of an install: median {told['median_s']} s, {told['fastest_s']} to {told['slowest_s']} s")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
