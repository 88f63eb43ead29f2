"""Installs that die at every change that they make to the disk: `cut_off.py WORK THEN CHANGE EVERY BUNDLE...`.

All bundles but the last are installed undisturbed. Then, for each number n, the last one is installed on a host of its
own by a process that gets SIGKILL at its n-th change: before it, or in the middle of it where bytes are written. The
store must hold right blobs alone then. What comes next, by THEN, must bring the host to a known state:

- install: the same install, to where an undisturbed one ends
- resume: a resume, there too
- rollback: a rollback, to where the host was before
- killed-rollback: a rollback that dies in its turn at its n-th change, and another one

Prints JSON: how many installs died, how often each call was the last, and what was wrong.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from hosts import Host

from bundler.errors import HostError
from bundler.installer.pending import find_pending

CALLS = (
    "fsync",
    "replace",
    "rename",
    "link",
    "symlink",
    "unlink",
    "rmdir",
    "mkdir",
    "chmod",
    "fchmod",
    "pwrite",
    "write",
)
WRITES = ("pwrite", "write")


def in_child(work: Callable[[], object]) -> int:
    """Do it in a process of its own; return how that ended, negative for a signal, 70 for an error."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001 (the child must end here, whatever happens)
            traceback.print_exc()
            os._exit(70)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def arm(number: int, note: Path) -> None:
    """Let this process die at its n-th change, and write down which call that was."""
    left = [number]

    def armed(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                if name in WRITES:
                    real(args[0], args[1][: len(args[1]) // 2], *args[2:])
                real_write(noted, name.encode(), 0)
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **options)

        return call

    real_write = os.pwrite
    noted = os.open(note, os.O_WRONLY | os.O_CREAT, 0o644)
    for name in CALLS:
        setattr(os, name, armed(name, getattr(os, name)))


def wrong_blobs(host: Host) -> list[str]:
    """Return what stands among the blobs without being one."""
    blobs = host.layout.store / "blobs/sha256"
    if not blobs.is_dir():
        return []
    return [path.name for path in blobs.iterdir() if hashlib.sha256(path.read_bytes()).hexdigest() != path.name]


def forget_power(host: Host) -> None:
    """Forget what a power cut takes: all that /run held, and what ran."""
    for note in host.layout.run.glob("*"):
        note.unlink()
    host.systemd.enabled = {path.name for path in host.layout.units.glob("ferry-*")}


def finish(root: Path, bundle: Path, change: list[str], expected: dict[str, str]) -> None:
    """Install again, and compare with an undisturbed host."""
    host = _after_power(root)
    host.install(bundle, *change)
    _compare(host, expected)
    assert host.install(bundle).plan.actions == (), "something is still due"


def go_on(root: Path, bundle: Path, change: list[str], expected: dict[str, str]) -> None:
    """Resume; where the power went before anything was written down, there is nothing to resume."""
    host = _after_power(root)
    if find_pending(host.layout) is None:
        finish(root, bundle, change, expected)
        return
    host.resume()
    _compare(host, expected)
    assert host.resume() is None, "something is still to be resumed"


def go_back(root: Path, before: dict[str, str], expected: dict[str, str]) -> None:
    """Take back what had begun, and compare with the host before; an install that had ended stays."""
    host = _after_power(root)
    current = host.layout.current
    has_ended = current.is_symlink() and f"-> {current.readlink()}" == expected["opt/ferry/current"]
    if find_pending(host.layout) is None and has_ended:
        return
    if find_pending(host.layout) is not None or not before.get("opt/ferry/current"):
        with suppress(HostError):
            # There may be nothing yet.
            host.rollback()
    else:
        assert host.resume() is None, "nothing was begun, or all of it is undone"
    _compare(host, before)


def _after_power(root: Path) -> Host:
    host = Host(root)
    assert wrong_blobs(host) == [], "the store holds what is no blob"
    forget_power(host)
    return host


def _compare(host: Host, expected: dict[str, str]) -> None:
    found = host.listing()
    differs = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    # What a service was started with is forgotten with the power; it is written again where one is started again.
    differs = [name for name in differs if not (name.startswith("run/ferry") and name not in found)]
    assert differs == [], f"the host is not as it must be: {differs}"


def main() -> None:
    work, then, changes, every, *bundles = sys.argv[1:]
    change = changes.split() if changes else []
    *before, last = map(Path, bundles)

    def install(root: Path, number: int) -> Host:
        host = prepare(root)
        if number:
            arm(number, root.with_suffix(".call"))
        host.install(last, *change)
        return host

    def prepare(root: Path) -> Host:
        host = Host(root)
        for bundle in before:
            host.install(bundle)
        return host

    old = _listing(Path(work, "old"), prepare)
    expected = _listing(Path(work, "whole"), lambda root: install(root, 0))

    forward = {"install": finish, "resume": go_on}

    def next_one(root: Path, number: int) -> bool:
        if then in forward:
            return in_child(lambda: forward[then](root, last, change, expected)) == 0
        if then == "killed-rollback" and in_child(lambda: dying(root, number)) not in (0, -signal.SIGKILL):
            return False
        return in_child(lambda: go_back(root, old, expected)) == 0

    def dying(root: Path, number: int) -> None:
        arm(number, root.with_suffix(".back"))
        go_back(root, old, expected)

    died: Counter[str] = Counter()
    wrong: list[int] = []
    number = 1
    while True:
        root = Path(work, f"cut-{number}")
        status = in_child(lambda root=root, number=number: install(root, number))
        if status not in (0, -signal.SIGKILL) or not next_one(root, number):
            wrong.append(number)
        if status != -signal.SIGKILL:
            break
        died[root.with_suffix(".call").read_text()] += 1
        number += int(every)
    print(json.dumps({"died": sum(died.values()), "calls": died, "wrong": wrong}))


def _listing(root: Path, make: Callable[[Path], Host]) -> dict[str, str]:
    """Return what is on a host that a process of its own made."""
    place = root.with_suffix(".json")
    assert in_child(lambda: place.write_text(json.dumps(make(root).listing()))) == 0
    found: dict[str, str] = json.loads(place.read_text())
    return found


if __name__ == "__main__":
    main()
