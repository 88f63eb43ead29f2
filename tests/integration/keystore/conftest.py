"""One daemon a module, as hvac's users would have it."""

from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest
from daemon import Daemon, served


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with served(tmp_path_factory.mktemp("store") / "data") as found:
        found.root = found.unsealed().token
        yield found


@pytest.fixture
def root(daemon: Daemon) -> hvac.Client:
    return daemon.client(daemon.root)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"
