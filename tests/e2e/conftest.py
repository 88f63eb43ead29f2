"""Bundles and machines of the end-to-end tests, made once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from machine import Machine

CHECKOUT = Path(__file__).resolve().parents[2]


def ferry(*words: str | Path, keystore: Path) -> None:
    """Run `ferry` as a user does."""
    environment = {**os.environ, "FERRY_KEYSTORE": str(keystore)}
    argv = [sys.executable, "-m", "bundler.cli", *map(str, words)]
    done = subprocess.run(argv, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def stick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that a machine sees as its stick: both bundles and the builder's public key."""
    directory = tmp_path_factory.mktemp("stick")
    keystore = tmp_path_factory.mktemp("keys") / "keystore"
    for name in ("hello", "agentscope"):
        ferry("build", f"recipes/{name}", "--yes", "-o", directory / f"{name}.tar", keystore=keystore)
    ferry("keystore", "public", "-o", directory / "release.pem", keystore=keystore)
    return directory


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory, stick: Path) -> Iterator[Callable[[str], Machine]]:
    """Return a function that boots an isolated machine of a suite with the stick at /mnt/stick."""
    reason = Machine.reason_unavailable()
    if reason is not None:
        pytest.skip(reason)
    made: list[Machine] = []

    def boot(suite: str) -> Machine:
        machine = Machine.create(suite, tmp_path_factory.mktemp(suite) / "host")
        made.append(machine)
        machine.boot(binds_ro={stick: "/mnt/stick"})
        return machine

    yield boot
    for machine in made:
        machine.destroy()
        shutil.rmtree(machine.root, ignore_errors=True)
