"""Installs that die at every change that they make to the disk: `cut_off.py WORK CHANGE EVERY BUNDLE...`.

All bundles but the last are installed undisturbed. Then, for each number n, the last one is installed on a host of its
own by a process that gets SIGKILL at its n-th change: before it, or in the middle of it where bytes are written. The
next install must bring the host to where an undisturbed one ends, and the store must hold right blobs alone before.

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
from pathlib import Path
from typing import Any

from hosts import Host

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
    host = Host(root)
    assert wrong_blobs(host) == [], "the store holds what is no blob"
    forget_power(host)
    host.install(bundle, *change)
    found = host.listing()
    differs = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    assert differs == [], "the host is not as after an undisturbed install"
    assert host.install(bundle).plan.actions == (), "something is still due"


def main() -> None:
    work, changes, every, *bundles = sys.argv[1:]
    change = changes.split() if changes else []
    *before, last = map(Path, bundles)
    listing = Path(work, "expected.json")

    def install(root: Path, number: int) -> Host:
        host = Host(root)
        for bundle in before:
            host.install(bundle)
        if number:
            arm(number, root.with_suffix(".call"))
        host.install(last, *change)
        return host

    assert in_child(lambda: listing.write_text(json.dumps(install(Path(work, "whole"), 0).listing()))) == 0
    expected = json.loads(listing.read_text())
    died: Counter[str] = Counter()
    wrong: list[int] = []
    number = 1
    while True:
        root = Path(work, f"cut-{number}")
        status = in_child(lambda root=root, number=number: install(root, number))
        if status not in (0, -signal.SIGKILL) or in_child(lambda root=root: finish(root, last, change, expected)):
            wrong.append(number)
        if status != -signal.SIGKILL:
            break
        died[root.with_suffix(".call").read_text()] += 1
        number += int(every)
    print(json.dumps({"died": sum(died.values()), "calls": died, "wrong": wrong}))


if __name__ == "__main__":
    main()
