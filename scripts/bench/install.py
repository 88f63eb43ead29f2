"""The isolated host: an install and its stages in a throw-away machine, beside tar and cp of the bundle there.

Beside it what a user would do by hand, how long each service takes from its start to its first answer, and how much of
the disk an install takes against the bundle.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from machine import Machine, MachineError

from bench.build import built
from bench.byhand import by_hand, prepare
from bench.measure import FERRY, MB, Bench, BenchError, Line, Measurement, duration, run

STICK = "/mnt/stick"
UNPACK = f"mkdir /root/unpacked && tar -xf {STICK}/bundle.tar -C /root/unpacked && cp {STICK}/bundle.tar /root && sync"
HEAD = f"cd /root && tar --occurrence=1 -xf {STICK}/bundle.tar ferry.json ferry.json.sig install.sh"
INSTALL = ("sh", "/root/install.sh", f"{STICK}/bundle.tar", "--trust", f"{STICK}/release.pem", "--yes", "--json")
UNINSTALL = ("ferry", "host", "uninstall", "--yes")
TIMEOUT_S = 900.0
TAKEN = "room"
_ROOM = "du --summarize --bytes --total /opt/ferry /var/lib/ferry | tail -n 1 | cut -f 1"


def install(bench: Bench) -> Iterator[Line]:
    """Install, install again and uninstall `runs` times in one machine."""
    title = f"install {bench.recipe.name}"
    if reason := Machine.reason_unavailable():
        yield title, Measurement(skipped=reason)
        return
    try:
        built(bench)
    except BenchError as error:
        yield title, Measurement(skipped=f"not buildable without network, build it once before: {error}")
        return
    manifest = json.loads(run([*FERRY, "inspect", "--json", str(bench.work / "built/bundle.tar")]).output)
    stages = prepare(bench, manifest)
    seconds: dict[str, list[float]] = defaultdict(list)
    try:
        with Machine.create("bookworm", bench.work / "machine") as machine:
            machine.boot(binds_ro={bench.work / "built": STICK})
            for _ in range(bench.runs):
                _once(machine, seconds, manifest["services"])
        hand = by_hand(bench, stages)
    except MachineError as error:
        raise BenchError(str(error)) from error
    peers = {"tar and cp": min(seconds["tar and cp"])}
    peers["by hand"] = min(hand["by hand: in all"])
    taken = seconds.pop(TAKEN)
    for name, found in {**seconds, **hand}.items():
        yield name, duration(found, peers if name in ("install", "install again") else None)
    size = (bench.work / "built/bundle.tar").stat().st_size
    yield (
        "room that an install takes",
        Measurement(value=min(taken) / MB, unit="MB", ratios={"the bundle": min(taken) / size}),
    )


def _once(machine: Machine, seconds: dict[str, list[float]], services: Sequence[Mapping[str, Any]]) -> None:
    """Add the seconds of every stage of one round; the bundle is read before, so that all find its pages warm."""
    _timed(machine, ["sh", "-c", f"rm -rf /root/unpacked /root/bundle.tar; cat {STICK}/bundle.tar >/dev/null"])
    seconds["tar and cp"].append(_timed(machine, ["sh", "-euc", UNPACK])[0])
    _timed(machine, ["sh", "-euc", HEAD])
    for name in ("install", "install again"):
        took, output = _timed(machine, INSTALL)
        seconds[name].append(took)
        report = json.loads(output)
        if name == "install again" and report["planned"]:
            raise BenchError(f"expected a second install to plan nothing, it planned {report['planned']} steps")
        for stage, stage_seconds in _stages(report, took):
            seconds[f"{name}: {stage}"].append(stage_seconds)
    for service in services:
        seconds[f"{service['name']}: start to first answer"].append(_first_answer(machine, service))
    seconds[TAKEN].append(float(machine.run(["sh", "-c", _ROOM], timeout_s=TIMEOUT_S).stdout))
    seconds["uninstall"].append(_timed(machine, UNINSTALL)[0])


def _first_answer(machine: Machine, service: Mapping[str, Any]) -> float:
    """Start a service anew; return the seconds until its readiness answers."""
    unit = f"ferry-{service['name']}.service"
    machine.run(["systemctl", "stop", unit])
    began = time.perf_counter()
    machine.run(["systemctl", "start", unit])
    while time.perf_counter() - began < TIMEOUT_S:
        try:
            if machine.http(service["port"], "GET", service["ready"]).status == 200:
                return time.perf_counter() - began
        except (OSError, MachineError):
            pass
        time.sleep(0.05)
    raise BenchError(f"{unit} does not answer")


def _stages(report: Mapping[str, Any], took: float) -> list[tuple[str, float]]:
    """Return the stages of an install: its steps, what the installer did besides, and what install.sh did before."""
    steps = [(str(step["step"]), float(step["seconds"])) for step in report["steps"]]
    inside = float(report["seconds"])
    besides = inside - sum(one for _, one in steps)
    return [("install.sh", took - inside), *steps, ("facts, verify and plan", besides)]


def _timed(machine: Machine, argv: Sequence[str]) -> tuple[float, str]:
    began = time.perf_counter()
    done = machine.run(argv, timeout_s=TIMEOUT_S)
    return time.perf_counter() - began, done.stdout
