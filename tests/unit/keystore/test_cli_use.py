"""`ferry keystore policy`, generate and list for keys in files, and how keys of a served keystore are named."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bundler.cli import ferry
from bundler.cli.service import open_client, parse_reference
from keystore import disk
from keystore.client import Client
from keystore.errors import KeystoreError, ServiceError
from keystore.file import FileKeystore

PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys") / "keystore"
    FileKeystore.create(directory, PASSPHRASE, "standard").generate("release", PASSPHRASE)
    disk.write(directory.parent / "phrase", PASSPHRASE.encode())
    return directory


def run(keys: Path, *words: str, error: str = "") -> str:
    env = {"FERRY_KEYSTORE": str(keys), "FERRY_PASSPHRASE_FILE": str(keys.parent / "phrase"), "LC_ALL": "C.UTF-8"}
    done = CliRunner().invoke(ferry, ["keystore", *words], env=env)
    if error:
        assert isinstance(done.exception, KeystoreError), done.output
        assert str(done.exception) == error
    else:
        assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_a_policy_of_a_key_in_files_is_set_and_shown(keys: Path) -> None:
    public = FileKeystore.open(keys).public("release")
    head = f"release  {public.fingerprint()}  {public.keyid}\n"
    assert run(keys, "policy", "release") == head + "  no policy: the key signs everything\n"
    told = run(keys, "policy", "release", "--product", "b", "--product", "a", "--until", "2027-12-31T00:00:00Z")
    assert told == head + "  policy 1: products a, b; kinds bundle, revocations; until 2027-12-31T00:00:00Z\n"
    told = run(keys, "policy", "release", "--kind", "root")
    assert told == head + "  policy 2: products -; kinds root; until no end\n"
    assert run(keys, "policy", "release") == told
    run(
        *(keys, "policy", "release", "--approvals", "1", "--operator", "userpass/alice"),
        error="approvals: expected a policy without approvals, as a key in files knows no operators, got one",
    )


def test_a_key_is_made_with_its_policy(keys: Path) -> None:
    run(keys, "generate", "other", "--algorithm", "ed25519", "--product", "*")
    use = FileKeystore.open(keys).use("other")
    assert use is not None
    assert use.products == ("*",)
    assert json.loads(run(keys, "list", "--json"))[0]["name"] == "other"
    run(
        keys,
        "policy",
        "other",
        "--until",
        "soon",
        error="until: expected a time such as '2026-01-31T12:00:00Z', got 'soon'",
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [("vault:release", ("signing", "release")), ("vault:a/b/release-2", ("a/b", "release-2"))],
)
def test_a_reference_names_mount_and_key(text: str, found: tuple[str, str]) -> None:
    assert parse_reference(text) == found


@pytest.mark.parametrize(
    "text", ["release", "vault:", "vault:../x", "vault:a//b", "vault:/b", "vault:B", "vault:a/b?c"]
)
def test_other_references_are_refused(text: str) -> None:
    with pytest.raises(KeystoreError) as caught:
        parse_reference(text)
    assert str(caught.value) == f"expected vault:NAME or vault:MOUNT/NAME, got {text!r}"


def test_the_token_is_of_the_environment_or_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VAULT_ADDR", "VAULT_TOKEN", "VAULT_CACERT"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "token"
    monkeypatch.setenv("VAULT_TOKEN_FILE", str(path))
    with pytest.raises(KeystoreError, match="expected a token for the served keystore, got none"):
        open_client(None)
    disk.write(path, b"hvs.secret\n")
    found = open_client("unix:///run/x")
    assert (found.address, found.token) == ("unix:///run/x", "hvs.secret")
    assert "hvs.secret" not in repr(found)
    monkeypatch.setenv("VAULT_TOKEN", "hvs.other")
    assert open_client(None) == Client(address="https://127.0.0.1:8200", token="hvs.other")
    monkeypatch.delenv("VAULT_TOKEN")
    path.chmod(0o644)
    with pytest.raises(KeystoreError, match="expected mode 0600, got 0644"):
        open_client(None)
    assert open_client(None, with_token=False).token == ""


def test_a_bad_authority_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as caught:
        Client(address="https://127.0.0.1:9", authority=str(tmp_path / "none.pem")).read("sys/health")
    assert (
        str(caught.value)
        == f"{tmp_path / 'none.pem'}: expected certificates and keys in PEM, got 'no such file or directory'"
    )


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("https://alice:secret@host", "expected an address without a name and a password, got one with them"),
        ("ftp://h", "expected an address such as https://HOST:8200 or unix:///run/ferry/vault.sock, got 'ftp://h'"),
        (
            "https://[x",
            "expected an address such as https://HOST:8200 or unix:///run/ferry/vault.sock, got 'https://[x'",
        ),
        (
            "unix:///" + "x" * 120,
            f"unix:///{'x' * 120}: expected the keystore's service, got 'expected a path of at most 107 characters'",
        ),
    ],
)
def test_other_addresses_are_refused(address: str, message: str) -> None:
    with pytest.raises(ServiceError) as caught:
        Client(address=address, token="t").read("sys/health")
    assert str(caught.value) == message
