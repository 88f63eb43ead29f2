import json

import pytest
from click.testing import CliRunner

from bundler.cli.trust import trust_group
from keystore import ed25519
from keystore.errors import KeystoreError
from keystore.file import FileKeystore
from keystore.trust import check_root


@pytest.fixture
def place(store_path, tmp_path, passphrase, monkeypatch):
    """A folder with the public keys of 'release' (SM2, in the keystore) and 'other' (Ed25519)."""
    monkeypatch.setenv("FERRY_KEYSTORE", str(store_path))
    (tmp_path / "secret").write_text(passphrase + "\n")
    monkeypatch.setenv("FERRY_PASSPHRASE_FILE", str(tmp_path / "secret"))
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "release.pub").write_text(FileKeystore.open(store_path).public("release").pem())
    (tmp_path / "other.pub").write_text(ed25519.PrivateKey(b"1" * 32).public.pem())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*arguments, error=None):
    result = CliRunner().invoke(trust_group, list(arguments))
    if error is None:
        assert result.exception is None, result.exception
    else:
        assert isinstance(result.exception, KeystoreError)
        assert str(result.exception) == error
    return result


def _new(**more):
    return _run("new", "--root", "release.pub", "--release", "other.pub", "-o", "1.json", **more)


def test_a_root_document_is_made_signed_rotated_and_shown(place):
    assert _new().stderr == ("Root document version 1: 1.json\nNext, 1 of its root keys: ferry trust sign 1.json\n")
    told = json.loads(_run("show", "1.json", "--json").stdout)
    assert told["problem"] == "root version 1: expected signatures by 1 of the root role's keys, got 0"
    _run("sign", "1.json")
    assert check_root((place / "1.json").read_bytes()).version == 1
    _run("rotate", "1.json", "--root", "release.pub", "--root", "other.pub", "-o", "2.json")
    _run("sign", "2.json")
    told = json.loads(_run("show", "2.json", "--previous", "1.json", "--json").stdout)
    assert (told["version"], told["problem"]) == (2, "")
    assert [(row["whose"], len(row["present"]), row["needed"]) for row in told["signatures"]] == [
        ("previous", 1, 1),
        ("root", 1, 1),
    ]
    assert "  release: 1 of 1 keys\n" in _run("show", "2.json").stdout


def test_revocations_are_made_and_carried_on(place):
    _new()
    _run("sign", "1.json")
    _run("revoke", "a" * 64, "--reason", "lost", "-o", "r1.json")
    _run("revoke", "b" * 64, "--reason", "stolen", "--previous", "r1.json", "-o", "r2.json")
    told = json.loads(_run("show", "r2.json", "--previous", "1.json", "--json").stdout)
    assert told["version"] == 2
    assert [(entry["keyid"][0], entry["reason"]) for entry in told["revoked"]] == [("a", "lost"), ("b", "stolen")]
    assert told["problem"] == "revocations version 2: expected signatures by 1 of the root role's keys, got 0"
    _run("sign", "r2.json")
    assert json.loads(_run("show", "r2.json", "--previous", "1.json", "--json").stdout)["problem"] == ""


def test_refusals_name_the_file(place):
    _new()
    _new(error="1.json: expected no file, got one")
    _run("sign", "1.json")
    keyid = FileKeystore.open(place / "keystore").public("release").keyid
    _run("sign", "1.json", error=f"1.json: envelope.signatures: expected no signature by the key {keyid}, got one")
    _run("show", "other.pub", error="other.pub: envelope: expected a JSON object, got something else")
    _run("revoke", "A", "--reason", "x", "-o", "r.json", error="expected a keyid of 64 hexadecimal digits, got 'A'")


@pytest.mark.parametrize("command", ["new", "rotate", "revoke", "sign", "show"])
def test_help_has_examples(command):
    assert f"    ferry trust {command}" in _run(command, "--help").stdout
