"""Installs on an isolated machine whose power goes, and what is on its disk."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE, CompletedProcess, Popen

from listing import listing
from machine import Machine

TRUST = "/mnt/stick/release.pem"
# Their content tells of when and how often, and a Python that ran leaves bytecode of what it used.
_OF_EACH_RUN = ("/var/lib/ferry/journal", "/var/lib/ferry/audit", "/var/lib/ferry/memory", "/var/lib/ferry/releases")
_READ = ("etc/ferry", "etc/systemd/system", "opt/ferry", "usr/local", "var/lib/ferry")
_JOURNAL = "var/lib/ferry/journal"
_PAUSE_S = 0.002


def unpack_script(machine: Machine, bundle: str) -> None:
    """Put the install.sh of a bundle into /root."""
    machine.run(["sh", "-c", f"cd /root && tar --occurrence=1 -xf {bundle} install.sh"])


def begin(machine: Machine, bundle: str, *words: str) -> Popen[bytes]:
    """Start an install, and return at once."""
    argv = ["sh", "/root/install.sh", bundle, "--trust", TRUST, "--yes", *words]
    return machine.start(argv, stdout=PIPE, stderr=PIPE)


def cut_power(machine: Machine, process: Popen[bytes], when: Callable[[], bool], timeout_s: float = 120) -> bool:
    """Cut the power when something is so; return False where the install ended before."""
    deadline = time.monotonic() + timeout_s
    while not when():
        if process.poll() is not None:
            process.communicate()
            return False
        assert time.monotonic() < deadline, "the moment did not come"
        time.sleep(_PAUSE_S)
    machine.kill()
    process.communicate(timeout=10)
    return True


def reached(machine: Machine, event: str, step: str, runs_before: int = 0) -> Callable[[], bool]:
    """Return what says whether the journal of the next run has come to an event."""

    def has() -> bool:
        return any(
            (one.get("event"), one.get("step", "")) == (event, step) for one in records(machine, runs_before + 1)
        )

    return has


def after(seconds: float) -> Callable[[], bool]:
    """Return what says whether some time has passed."""
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end


def runs(machine: Machine) -> int:
    """Return how many runs a machine's journal tells of."""
    return len(list((machine.root / _JOURNAL).glob("*.jsonl")))


def records(machine: Machine, run: int) -> list[dict[str, object]]:
    """Return the whole lines of a run's journal, read from outside."""
    path = machine.root / _JOURNAL / f"{run:06}.jsonl"
    try:
        lines = path.read_text().splitlines(keepends=True)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def call(machine: Machine, *words: str, check: bool = True) -> CompletedProcess[str]:
    """Run `ferry host`, by its toolchain where the power went before there was a command."""
    ferry = ["ferry"]
    if not (machine.root / "usr/local/bin/ferry").exists():
        found = machine.run(["sh", "-c", "ls -d /opt/ferry/toolchains/*/usr/bin/python3.11"]).stdout.split()
        ferry = [found[0], "-I", "-m", "bundler.cli"]
    return machine.run([*ferry, "host", *words], check=check, timeout_s=300)


def contents(machine: Machine) -> dict[str, str]:
    """Return every path of a machine, and the digest of what Ferry and systemd's administrator wrote there."""
    found = dict.fromkeys((path for path in listing(machine) if not _is_left_out(path)), "")
    for top in _READ:
        for directory, _, files in os.walk(machine.root / top):
            for name in files:
                path = Path(directory, name)
                place = f"/{path.relative_to(machine.root)}"
                if place in found and not place.startswith(_OF_EACH_RUN):
                    found[place] = _digest(path)
    return found


def _is_left_out(path: str) -> bool:
    return (
        "/__pycache__" in path
        or "/bytecode/" in path
        or path.startswith(("/var/lib/ferry/journal/", "/root/install.sh"))
    )


def _digest(path: Path) -> str:
    if path.is_symlink():
        return f"-> {path.readlink()}"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def differing(found: dict[str, str], expected: dict[str, str]) -> list[str]:
    """Return the paths that are in one of them alone, or have other contents."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
