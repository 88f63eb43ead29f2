"""A store comes back by the custody of an operator, a stick, systemd or an HSM: the commands, the daemon, softhsm2."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hvac
import pytest
from click.testing import CliRunner, Result
from daemon import Daemon, served

from bundler.cli import ferry
from keystore import disk
from keystore.errors import KeystoreError

PASSPHRASE = "a sentence of one operator"
SOFTHSM = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "123456"


def run(*words: object, address: str = "", token: str = "", error: str = "") -> str:
    env = {"VAULT_ADDR": address, "VAULT_TOKEN": token, "LC_ALL": "C.UTF-8"}
    done: Result = CliRunner().invoke(ferry, ["keystore", *map(str, words)], env=env)
    if error:
        assert isinstance(done.exception, KeystoreError), (done.output, done.exception)
        assert str(done.exception) == error
    else:
        assert done.exit_code == 0, (done.output, done.exception)
    return done.output


@pytest.fixture
def made(data: Path, tmp_path: Path) -> Iterator[Daemon]:
    """A store that one operator has initialised with the commands, still sealed, and its share in a file."""
    with served(data, "--profile", "standard") as daemon:
        words = ("--shares", 1, "--threshold", 1, "--shares-to", tmp_path / "share", "--token-to", tmp_path / "token")
        assert run("operator", "init", *words, address=daemon.url) == ""
        daemon.root = (tmp_path / "token").read_text().strip()
        yield daemon


def _add(daemon: Daemon, folder: Path, name: str, kind: str, *words: object, error: str = "") -> None:
    told = run(
        *("custody", "add", name, "--kind", kind, "--data", daemon.data, "--unseal-from", folder / "share", *words),
        error=error,
    )
    if not error:
        assert told == f"Custody '{name}' ({kind}) keeps the root key too\n"


def _refuses(daemon: Daemon, error: str) -> None:
    daemon.url = ""
    with pytest.raises(AssertionError, match=re.escape(error)):
        daemon.start()


def _works(daemon: Daemon) -> None:
    client = hvac.Client(url=daemon.url, token=daemon.root)
    assert client.sys.read_seal_status()["sealed"] is False
    assert "cubbyhole/" in client.sys.list_mounted_secrets_engines()["data"]


def test_one_operator_unseals_with_a_passphrase(made: Daemon, tmp_path: Path) -> None:
    phrase, other = tmp_path / "phrase", tmp_path / "other"
    disk.write(phrase, PASSPHRASE.encode())
    disk.write(other, b"some other sentence")
    run(
        *("operator", "unseal", "--passphrase-file", phrase),
        address=made.url,
        error=f"{made.url}: expected a share, as no custody by passphrase is there, got a passphrase",
    )
    _add(made, tmp_path, "operator", "passphrase", "--passphrase-file", phrase)
    run(
        *("operator", "unseal", "--passphrase-file", other),
        address=made.url,
        error=(
            f"{made.url}: custody/operator.json.form: expected the passphrase that sealed this, got another, "
            "or the file was altered"
        ),
    )
    assert run("operator", "unseal", "--passphrase-file", phrase, address=made.url) == "Unsealed\n"
    _works(made)
    assert run("custody", "list", "--data", made.data).startswith("operator  passphrase  20")
    assert not any(PASSPHRASE in line for line in made.lines)
    # A new passphrase in place of the old one needs no share.
    changed = ("--kind", "passphrase", "--data", made.data, "--passphrase-file", other, "--open-with", "operator")
    run(
        *("custody", "add", "second", *changed, "--open-from", other),
        error=(
            "custody/operator.json.form: expected the passphrase that sealed this, got another, or the file was altered"
        ),
    )
    run("custody", "add", "second", *changed, "--open-from", phrase)
    run("custody", "remove", "operator", "--data", made.data)
    run("operator", "seal", address=made.url, token=made.root)
    assert run("operator", "unseal", "--passphrase-file", other, address=made.url) == "Unsealed\n"


def test_the_daemon_comes_back_by_a_key_file(made: Daemon, tmp_path: Path) -> None:
    stick = tmp_path / "vault.key"
    _add(made, tmp_path, "stick", "keyfile", "--key-file", stick)
    assert oct(stick.stat().st_mode)[-3:] == "600"
    made.kill()
    made.options = (*made.options, "--unseal-with", "stick", "--key-file", str(stick))
    made.start()
    _works(made)
    assert "unsealed by the custody 'stick' (keyfile)" in made.lines
    made.stop()
    stick.rename(tmp_path / "taken-away")
    _refuses(made, "vault.key: expected a usable file or directory, got 'no such file or")
    run("custody", "remove", "stick", "--data", made.data)
    (tmp_path / "taken-away").rename(stick)
    _refuses(made, "expected the custody 'stick', got none at all")


def test_the_daemon_comes_back_by_a_credential_of_systemd(made: Daemon, tmp_path: Path) -> None:
    program = shutil.which("systemd-creds")
    probe = [program or "", "encrypt", "--name=probe", "-", "-"]
    if program is None or subprocess.run(probe, input=b"x", capture_output=True, timeout=60, check=False).returncode:
        pytest.skip("systemd-creds is absent, or cannot encrypt on this host")
    credential = tmp_path / "ferry-keystore.cred"
    _add(made, tmp_path, "host", "keyfile", "--systemd-creds", credential)
    folder = tmp_path / "credentials"
    folder.mkdir()
    decrypt = [program, "decrypt", "--name=ferry-keystore", credential, folder / "ferry-keystore"]
    subprocess.run(decrypt, check=True, capture_output=True, timeout=60)
    (folder / "ferry-keystore").chmod(0o440)
    made.stop()
    made.options = (*made.options, "--unseal-with", "host", "--key-file", str(folder / "ferry-keystore"))
    _refuses(made, "expected mode 0600, got 0440")
    made.prefix = ("env", f"CREDENTIALS_DIRECTORY={folder}")
    made.start()
    _works(made)


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    """A real token of softhsm2: the words that name it."""
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    if not SOFTHSM.exists() or shutil.which("softhsm2-util") is None:
        pytest.skip("softhsm2 is not installed")
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nobjectstore.backend = file\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(configuration))
    words = ["--init-token", "--free", "--label", "ferry", "--pin", PIN, "--so-pin", "12345678"]
    subprocess.run(["softhsm2-util", *words], check=True, capture_output=True, timeout=60)
    disk.write(tmp_path / "pin", PIN.encode())
    return ("--pkcs11-module", SOFTHSM, "--token", "ferry", "--pin-file", tmp_path / "pin")


def test_the_daemon_comes_back_by_an_hsm(made: Daemon, tmp_path: Path, token: tuple[object, ...]) -> None:
    _add_elsewhere(made, tmp_path, *token)
    document = (made.data / "custody/hsm.json").read_text()
    assert '"mechanism": "aes-gcm"' in document
    assert PIN not in document
    made.stop()
    made.options = (*made.options, "--unseal-with", "hsm", *map(str, token))
    made.start()
    _works(made)
    made.stop()
    place = f"{SOFTHSM}: token 'ferry', key 'ferry-root'"
    disk.write(tmp_path / "pin", b"000000")
    _refuses(made, f"{place}: expected the token to do that, got 'pin incorrect'")
    disk.write(tmp_path / "pin", PIN.encode())
    path = made.data / "custody/hsm.json"
    path.write_text(document.replace('"ciphertext": "', '"ciphertext": "AAAA'))
    _refuses(made, f"{place}: expected the token to do that, got '")
    path.write_text(document)
    shutil.rmtree(tmp_path / "tokens")
    (tmp_path / "tokens").mkdir()
    _refuses(made, f"{place}: expected the token to do that, got 'no such token")


def _add_elsewhere(daemon: Daemon, folder: Path, *words: object) -> None:
    """Add the HSM in a process of its own: a PKCS#11 library is initialised once a process."""
    command = [sys.executable, "-m", "bundler.cli", "keystore", "custody", "add", "hsm", "--kind", "pkcs11"]
    done = subprocess.run(
        [*command, "--data", daemon.data, "--unseal-from", folder / "share", *words],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
        check=False,
    )
    assert done.stderr == "Custody 'hsm' (pkcs11) keeps the root key too\n", done.stderr
