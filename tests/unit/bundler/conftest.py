import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from index import Index
from mirror import Mirror
from payload import hard_link, make_root, unshared
from registry import FakeRegistry

from bundler.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """Serve files on loopback, with faults on demand; no proxy stands before it."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Mirror() as server:
        yield server


@pytest.fixture
def registry(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeRegistry]:
    """Serve images on loopback to a user who is logged in nowhere."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    for name in ("REGISTRY_AUTH_FILE", "FERRY_REGISTRY_MIRRORS", "FERRY_INSECURE_REGISTRIES"):
        monkeypatch.delenv(name, raising=False)
    with FakeRegistry() as server:
        yield server


@pytest.fixture
def umask() -> Callable[[int], object]:
    """Work under another umask for the time of a with-statement."""

    @contextmanager
    def under(mask: int) -> Iterator[None]:
        before = os.umask(mask)
        try:
            yield
        finally:
            os.umask(before)

    return under


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root that holds the Python that runs here; skip where no network namespace can be made."""
    if shutil.which("unshare") is None:
        pytest.skip("the program unshare is absent")
    words = ["--user", "--map-root-user"]
    if not unshared(*words, "true"):
        pytest.skip("this host lets us make no user namespace without network")
    probe = tmp_path_factory.mktemp("probe")
    if not unshared(*words, "--mount", "--pid", "--fork", "mount", "-t", "proc", "proc", str(probe)):
        pytest.skip("this host lets us mount no /proc in a namespace")
    return make_root(tmp_path_factory.mktemp("runtime") / "root")


@pytest.fixture
def payload_root(runtime: Path, tmp_path: Path) -> Path:
    """A root of its own for one test."""
    return Path(shutil.copytree(runtime, tmp_path / "root", symlinks=True, copy_function=hard_link))


INDEX_SETTINGS = (
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_CONFIG_FILE",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "NETRC",
)


@pytest.fixture
def index(mirror: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    """The only index that uv knows of, with a home and a cache of its own."""
    found = Index(mirror)
    (tmp_path / "home").mkdir()
    for name in [*INDEX_SETTINGS, *(name for name in os.environ if name.startswith(("UV_", "FERRY_INDEX_")))]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("UV_DEFAULT_INDEX", found.url)
    return found
