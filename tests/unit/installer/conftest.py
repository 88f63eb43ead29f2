"""Hosts in directories, one for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import Host, host_bundle, service
from ports import free_port

from bundler.installer.facts import Facts, gather
from bundler.model.service import Service


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path / "host")
    yield made
    made.close()


@pytest.fixture
def facts(host: Host) -> Facts:
    """What the host is before anything is installed."""
    return gather(host.layout, host.systemd)


@pytest.fixture
def services() -> tuple[Service, ...]:
    """A model and an agent that needs it, unless the operator names another."""
    model = service("model", free_port(), unless="agent.MODEL_BASE_URL")
    return (service("agent", free_port(), after=("model",), settings=("MODEL_BASE_URL", "PROMPT"), state=True), model)


@pytest.fixture
def bundle(tmp_path: Path, services: tuple[Service, ...]) -> bytes:
    return host_bundle(tmp_path, services)
