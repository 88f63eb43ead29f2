import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundler.cli.keystore import keystore_dir, keystore_group, open_signer
from bundler.cli.messages import tr
from keystore.errors import KeystoreError, PassphraseError
from keystore.file import FileKeystore
from keystore.sm2 import PublicKey


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    for name in ("FERRY_KEYSTORE", "FERRY_PASSPHRASE_FILE", "XDG_DATA_HOME", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))


@pytest.fixture
def passphrase_file(tmp_path, passphrase):
    path = tmp_path / "passphrase-file"
    path.write_text(passphrase + "\n")
    return path


def _run(*arguments, error=None):
    result = CliRunner().invoke(keystore_group, list(map(str, arguments)))
    if error is None:
        assert result.exception is None, result.exception
    else:
        assert isinstance(result.exception, KeystoreError)
        assert str(result.exception) == error
    return result


def test_init_without_questions(tmp_path):
    path = tmp_path / "ks"
    result = _run("init", "--yes", "--keystore", path)
    public = FileKeystore.open(path).public("release")
    assert result.stdout == ""
    assert result.stderr == (
        f"warning: a random passphrase lies beside the keys in {path}/passphrase: it protects them only as"
        " well as the file system does. Move it elsewhere and name it with --passphrase-file.\n"
        f"Keystore: {path} (profile gm)\n"
        f"Key 'release': {public.keyid}\n"
        f"Fingerprint, for paper: {public.fingerprint()}\n"
    )
    kept = path / "passphrase"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert len(kept.read_text().strip()) >= 43
    signer = open_signer(path, "release", None, yes=False)
    public.verify(signer.sign(b"m"), b"m")
    _run("generate", "second", "--keystore", path)
    assert FileKeystore.open(path).names() == ("release", "second")


def test_init_with_a_passphrase_file(tmp_path, passphrase_file, passphrase, monkeypatch):
    monkeypatch.setenv("FERRY_KEYSTORE", str(tmp_path / "ks"))
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    result = _run("init", "--yes", "--profile", "standard", "--key", "k", "--passphrase-file", passphrase_file)
    assert result.stderr.startswith(f"密钥库：{tmp_path / 'ks'}（standard 模式）\n密钥“k”：")
    assert not (tmp_path / "ks/passphrase").exists()
    assert FileKeystore.open(tmp_path / "ks").signer("k", passphrase).keyid in result.stderr


def test_init_refuses_before_it_makes_anything(store_path, tmp_path, passphrase_file):
    _run("init", "--yes", "--keystore", store_path, error=f"{store_path}: expected no keystore, got one")
    assert not (store_path / "passphrase").exists()
    name = "expected a key name of 1 to 64 of a-z, 0-9, '.', '_' and '-', got 'No'"
    _run("init", "--yes", "--key", "No", "--keystore", tmp_path / "ks", error=name)
    nothing = "expected a passphrase, got neither a file nor a terminal"
    _run("init", "--keystore", tmp_path / "ks", error=nothing)
    passphrase_file.write_text("short\n")
    short = "expected a passphrase of at least 12 characters, got 5"
    _run("init", "--keystore", tmp_path / "ks", "--passphrase-file", passphrase_file, error=short)
    assert not (tmp_path / "ks").exists()


def test_public_in_pem_and_for_paper(store_path, tmp_path):
    public = FileKeystore.open(store_path).public("release")
    assert _run("public", "--keystore", store_path).stdout == public.pem()
    assert _run("public", "--keystore", store_path, "--fingerprint").stdout == f"{public.fingerprint()}\n"
    assert _run("public", "--keystore", store_path, "-o", tmp_path / "pub.pem").stdout == ""
    assert PublicKey.from_pem((tmp_path / "pub.pem").read_bytes()) == public
    wrong = tmp_path / "none" / "pub.pem"
    message = f"{wrong}: expected a file to write, got 'no such file or directory'"
    _run("public", "--keystore", store_path, "-o", wrong, error=message)
    _run(
        "public",
        "--keystore",
        store_path,
        "--key",
        "x",
        error=f"{store_path}: expected the key 'x', got 'release'",
    )


def test_list_for_people_and_programs(store_path):
    public = FileKeystore.open(store_path).public("release")
    fingerprint = public.fingerprint()
    assert _run("list", "--keystore", store_path).stdout == f"release  {fingerprint}  {public.keyid}\n"
    rows = json.loads(_run("list", "--json", "--keystore", store_path).stdout)
    assert rows == [{"name": "release", "keyid": public.keyid, "fingerprint": fingerprint}]


@pytest.mark.parametrize("command", ["init", "generate", "public", "list"])
def test_help_has_examples(command):
    assert f"    ferry keystore {command}" in _run(command, "--help").stdout


def test_the_default_directory(monkeypatch, tmp_path):
    assert keystore_dir(None) == tmp_path / "home/.local/share/ferry/keystore"
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert keystore_dir(None) == tmp_path / "home/.local/share/ferry/keystore"
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert keystore_dir(None) == Path("/data/ferry/keystore")
    monkeypatch.setenv("FERRY_KEYSTORE", "/env")
    assert keystore_dir(None) == Path("/env")
    assert keystore_dir(Path("given")) == Path("given")


def test_open_signer_makes_a_keystore_only_when_told(tmp_path, passphrase_file, monkeypatch):
    path = tmp_path / "ks"
    with pytest.raises(KeystoreError) as refused:
        open_signer(path, "release", None, yes=False)
    assert str(refused.value) == f"{path}: expected a keystore, got none"
    assert refused.value.hint == "make one: ferry keystore init, or pass --yes"
    assert not path.exists()
    monkeypatch.setenv("FERRY_PASSPHRASE_FILE", str(passphrase_file))
    made = open_signer(path, "release", None, yes=True)
    assert open_signer(path, "release", passphrase_file, yes=True).keyid == made.keyid
    assert not (path / "passphrase").exists()
    with pytest.raises(KeystoreError, match="expected the key 'other', got 'release'"):
        open_signer(path, "other", None, yes=True)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines of text\n", b"\xff\xff"])
def test_a_passphrase_file_is_one_line_of_text(store_path, tmp_path, content):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(PassphraseError) as refused:
        open_signer(store_path, "release", tmp_path / "file", yes=True)
    assert str(refused.value) == f"{tmp_path / 'file'}: expected one line of UTF-8 text, got something else"


@pytest.mark.parametrize(
    ("settings", "chinese"),
    [
        ({}, False),
        ({"LANG": "zh_CN.UTF-8"}, True),
        ({"LANG": "zh_CN.UTF-8", "LC_MESSAGES": "C"}, False),
        ({"LANG": "C", "LC_ALL": "zh_TW"}, True),
        ({"LANG": "zh_CN", "LC_ALL": ""}, True),
    ],
)
def test_the_locale_decides_the_language(settings, chinese, monkeypatch):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert tr("yes", "是") == ("是" if chinese else "yes")


class Terminal:
    """Run the commands on a terminal of their own, and answer their questions."""

    def __init__(self, *arguments: str) -> None:
        code = "from bundler.cli.keystore import keystore_group as group; group()"
        self._own, other = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=Path(__file__).parents[3],
            stdin=other,
            stdout=other,
            stderr=other,
            start_new_session=True,
        )
        os.close(other)

    def read_until(self, end: str) -> str:
        text = ""
        while end not in text:
            text += os.read(self._own, 4096).decode()
        return text

    def answer(self, line: str) -> None:
        os.write(self._own, line.encode() + b"\n")

    def finish(self) -> int:
        status = self.process.wait(timeout=30)
        os.close(self._own)
        return status


def test_a_person_is_asked_twice_and_nothing_is_shown(tmp_path, passphrase):
    terminal = Terminal("init", "--keystore", str(tmp_path / "ks"))
    terminal.read_until("Passphrase of the keystore: ")
    terminal.answer(passphrase)
    shown = terminal.read_until("The same again: ")
    terminal.answer(passphrase)
    shown += terminal.read_until("Fingerprint, for paper: ")
    assert terminal.finish() == 0
    assert passphrase not in shown
    FileKeystore.open(tmp_path / "ks").signer("release", passphrase)
