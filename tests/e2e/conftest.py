"""Bundles and machines of the end-to-end tests, made once."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command import ferry
from machine import Machine


@pytest.fixture(scope="session")
def keystore(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the builder's keystore is."""
    return tmp_path_factory.mktemp("keys") / "keystore"


@pytest.fixture(scope="session")
def stick(tmp_path_factory: pytest.TempPathFactory, keystore: Path) -> Path:
    """A directory that a machine sees as its stick: both bundles and the builder's public key."""
    directory = tmp_path_factory.mktemp("stick")
    for name in ("hello", "agentscope"):
        ferry("build", f"recipes/{name}", "--yes", "-o", directory / f"{name}.tar", FERRY_KEYSTORE=str(keystore))
    ferry("keystore", "public", "-o", directory / "release.pem", FERRY_KEYSTORE=str(keystore))
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
