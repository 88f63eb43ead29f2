import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from keystore.file import FileKeystore, FileSigner
from keystore.sm2 import PrivateKey

PASSPHRASE = "a sentence nobody guesses"


@pytest.fixture(scope="session")
def vectors(shared: Callable[[str], Path]) -> Callable[[str], Any]:
    """Read a file under the folder of outside vectors; skip where there is none."""

    def load(name: str) -> Any:
        path = shared(f"vectors/{name}")
        text = path.read_text()
        return json.loads(text) if path.suffix == ".json" else text

    return load


@pytest.fixture(scope="session")
def openssl() -> Callable[..., bytes]:
    """Run the openssl program; skip where it is absent or lacks SM2."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("the openssl program is absent")
    probe = subprocess.run([program, "genpkey", "-algorithm", "SM2"], capture_output=True, timeout=30)
    if probe.returncode:
        pytest.skip("this openssl lacks SM2")

    def run(*arguments: str | Path, status: int = 0, with_errors: bool = False) -> bytes:
        done = subprocess.run([program, *map(str, arguments)], capture_output=True, timeout=30)
        assert done.returncode == status, done.stderr.decode()
        return done.stdout + done.stderr if with_errors else done.stdout

    return run


@pytest.fixture(scope="session")
def key() -> PrivateKey:
    return PrivateKey.generate()


@pytest.fixture(scope="session")
def signers() -> list[FileSigner]:
    return [FileSigner(PrivateKey.generate(), bytes([number]) * 32) for number in range(3)]


@pytest.fixture(scope="session")
def passphrase() -> str:
    return PASSPHRASE


@pytest.fixture(scope="session")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A keystore with the key 'release', made once; tests that change it take a copy: `store_path`."""
    path = tmp_path_factory.mktemp("made") / "keystore"
    FileKeystore.create(path, PASSPHRASE).generate("release", PASSPHRASE)
    return path


@pytest.fixture
def store_path(made_store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made_store, tmp_path / "keystore"))
