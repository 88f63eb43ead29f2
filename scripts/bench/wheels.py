"""Fetch the wheels of a lock by Ferry's own code; a child process of the bench runs this.

wheels.py pins RECIPE            print requirements for pip: every wheel that the lock has for linux/amd64, by its hash
wheels.py fetch RECIPE STORE     fetch these wheels into a content store, and print the peak of memory in bytes
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from packaging.utils import parse_wheel_filename

from bundler.fetch import fetch
from bundler.load import read_lock
from bundler.model.lock import Lock
from bundler.model.platform import parse_platform
from bundler.model.progress import Silent
from bundler.store import Store

PLATFORM = parse_platform("linux/amd64")


def wheels_alone(recipe: Path) -> Lock:
    """Return the lock of nothing but the payload's wheels: pip would build what is an sdist, even to download it."""
    lock = read_lock(recipe)
    wheels = tuple(
        package for package in lock.wheels if (file := package.file_for(PLATFORM)) is not None and not file.is_sdist
    )
    return replace(lock, wheels=wheels, build=(), toolchain=(), debs=(), os_debs=(), files=(), images=())


def pins(recipe: Path) -> None:
    """Print the requirements, the tags that pip must accept, and what they weigh."""
    lock = wheels_alone(recipe)
    found = [(package, file) for package in lock.wheels if (file := package.file_for(PLATFORM)) is not None]
    tags = {tag for _, file in found for tag in parse_wheel_filename(file.name)[3]}
    print(
        json.dumps(
            {
                "requirements": [f"{one.name}=={one.version} --hash=sha256:{file.sha256}" for one, file in found],
                "platforms": sorted({tag.platform for tag in tags} - {"any"}),
                "python": lock.python_version,
                "bytes": sum(file.size for _, file in found),
            }
        )
    )


def peak_bytes() -> int:
    """Return the largest resident set of this program alone; wait4 counts uv with it, which it runs for the URLs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM:")).split()[1]) * 1024


if __name__ == "__main__":
    if sys.argv[1] == "pins":
        pins(Path(sys.argv[2]))
    else:
        lock = wheels_alone(Path(sys.argv[2]))
        fetch(lock, PLATFORM, Store(Path(sys.argv[3])), directory=Path(sys.argv[2]), progress=Silent())
        print(peak_bytes())
