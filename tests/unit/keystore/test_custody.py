"""Custody by a passphrase and by a key file: what is kept, floors, and every way it is refused."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keystore import disk
from keystore.barrier import sealing
from keystore.custody import keeping, keyfile, pkcs11
from keystore.custody.custodian import Custodian
from keystore.custody.keyfile import KeyFileCustodian
from keystore.custody.kinds import Means, custodian_of
from keystore.custody.passphrase import PassphraseCustodian
from keystore.errors import KeystoreError, PassphraseError, UnsealError

NOW = datetime(2026, 6, 1, tzinfo=UTC)
SECRET = "a sentence of one operator"
KEY = bytes(range(32))


@pytest.fixture(params=["gm", "standard"])
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def by_passphrase(profile: str, passphrase: str = SECRET) -> Custodian:
    return PassphraseCustodian(profile=profile, passphrase=passphrase)


def by_file(profile: str, key: bytes = KEY) -> Custodian:
    return KeyFileCustodian(profile=profile, key=key)


@pytest.mark.parametrize("make", [by_passphrase, by_file])
def test_a_custodian_gives_the_root_key_back(make, profile, tmp_path):
    seal, _, _, root_key = sealing.create(profile, 3, 2, NOW)
    custodian = make(profile)
    made = keeping.add(tmp_path, "one", custodian, seal, root_key, NOW)
    found = keeping.read(tmp_path, "one")
    assert (found, keeping.names(tmp_path)) == (made, ["one"])
    assert keeping.open_root(found, make(profile), seal) == root_key
    # New shares do not take the root key from a custodian.
    again, _ = seal.rekeyed(root_key, 5, 3)
    assert keeping.open_root(found, make(profile), again) == root_key
    text = (tmp_path / "custody/one.json").read_bytes()
    assert bytes(root_key) not in text
    assert base64.b64encode(bytes(root_key)) not in text
    assert oct((tmp_path / "custody/one.json").stat().st_mode)[-3:] == "600"
    assert SECRET not in repr(custodian)
    assert str(KEY) not in repr(custodian)
    with pytest.raises(KeystoreError, match="expected no custody 'one', got one"):
        keeping.add(tmp_path, "one", custodian, seal, root_key, NOW)
    keeping.remove(tmp_path, "one")
    with pytest.raises(KeystoreError) as caught:
        keeping.read(tmp_path, "one")
    assert str(caught.value) == f"{tmp_path}: expected the custody 'one', got none at all"


def test_a_custody_is_of_one_store(tmp_path):
    seal, _, _, root_key = sealing.create("standard", 1, 1, NOW)
    other, *_ = sealing.create("standard", 1, 1, NOW)
    made = keeping.add(tmp_path, "one", by_file("standard"), seal, root_key, NOW)
    with pytest.raises(KeystoreError) as caught:
        keeping.open_root(made, by_file("standard"), other)
    assert (str(caught.value), caught.value.hint) == (
        f"custody/one.json.store: expected {other.store!r}, got {seal.store!r}",
        "this custody is of another store",
    )
    path = tmp_path / "custody/one.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "store": other.store}))
    with pytest.raises(UnsealError, match="expected the key file of this store, got another, or the custody was"):
        keeping.open_root(keeping.read(tmp_path, "one"), by_file("standard"), other)


def test_another_means_is_refused(tmp_path):
    seal, _, _, root_key = sealing.create("standard", 1, 1, NOW)
    made = keeping.add(tmp_path, "one", by_file("standard"), seal, root_key, NOW)
    with pytest.raises(UnsealError) as caught:
        keeping.open_root(made, by_file("standard", bytes(32)), seal)
    assert str(caught.value) == (
        "custody/one.json.form: expected the key file of this store, got another, or the custody was altered"
    )
    with pytest.raises(KeystoreError, match=r"kind: expected 'keyfile', got 'passphrase'"):
        keeping.open_root(made, by_passphrase("standard"), seal)
    phrase = keeping.add(tmp_path, "two", by_passphrase("standard"), seal, root_key, NOW)
    with pytest.raises(PassphraseError, match="expected the passphrase that sealed this, got another"):
        keeping.open_root(phrase, by_passphrase("standard", "some other sentence"), seal)
    with pytest.raises(PassphraseError, match="expected a passphrase of at least 12 characters, got 5"):
        keeping.add(tmp_path, "three", by_passphrase("standard", "short"), seal, root_key, NOW)
    assert keeping.names(tmp_path) == ["one", "two"]


@pytest.mark.parametrize(
    ("profile", "change", "message"),
    [
        ("gm", {"rounds": 599_999}, "form.rounds: expected 600000 to 20000000, got 599999"),
        ("standard", {"passes": 2}, "form.passes: expected 3 to 64, got 2"),
        ("standard", {"memory_kib": 65_535}, "form.memory_kib: expected 65536 to 4194304, got 65535"),
        ("gm", {"kdf": "md5"}, "form.kdf: expected 'pbkdf2-hmac-sm3', got 'md5'"),
    ],
)
def test_costs_below_the_floor_are_refused_when_read(profile, change, message):
    custodian = by_passphrase(profile)
    form = custodian.seal(KEY, b"bound")
    with pytest.raises(KeystoreError) as caught:
        custodian.unseal({**form, **change}, b"bound", "form")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "x"}, "custody/one.json.format: expected 'ferry-custody', got 'x'"),
        ({"version": 2}, "custody/one.json.version: expected 1, got 2"),
        ({"form": []}, "custody/one.json.form: expected an object, got an array"),
        ({"more": 1}, "custody/one.json: expected no other field, got 'more'"),
        ({"created": "x"}, "custody/one.json.created: expected a time such as '2026-01-31T12:00:00Z', got 'x'"),
    ],
)
def test_other_documents_are_refused(change, message, tmp_path):
    seal, _, _, root_key = sealing.create("standard", 1, 1, NOW)
    keeping.add(tmp_path, "one", by_file("standard"), seal, root_key, NOW)
    path = tmp_path / "custody/one.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(KeystoreError) as caught:
        keeping.read(tmp_path, "one")
    assert str(caught.value) == message


@pytest.mark.parametrize("form", [None, {}, {"cipher": "aes-256-gcm", "sealed": "!"}, {"cipher": 1, "sealed": ""}])
def test_other_forms_are_refused(form):
    for custodian in (by_file("standard"), by_passphrase("standard")):
        with pytest.raises(KeystoreError, match=r"^form"):
            custodian.unseal(form, b"bound", "form")


def test_a_key_file_is_private_and_one_line(tmp_path, monkeypatch):
    path = tmp_path / "vault.key"
    disk.write(path, keyfile.new_key())
    assert len(keyfile.read_key(path)) == 32
    path.chmod(0o640)
    with pytest.raises(KeystoreError) as caught:
        keyfile.read_key(path)
    assert str(caught.value) == f"{path}: expected mode 0600, got 0640"
    # What systemd decrypts for a service is readable by an access list, which shows as a group's right.
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert len(keyfile.read_key(path)) == 32
    path.write_text("zz\n")
    with pytest.raises(KeystoreError) as caught:
        keyfile.read_key(path)
    assert str(caught.value) == f"{path}: expected a line of 64 hexadecimal digits, got another"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("passphrase", "expected a passphrase, got none"),
        ("keyfile", "expected a key file, got none"),
        ("pkcs11", "expected a PKCS#11 library, a token and a PIN, got less"),
        ("skf", "expected a kind of custody, 'passphrase', 'keyfile', 'pkcs11', got 'skf'"),
    ],
)
def test_what_a_kind_needs_is_told(kind, message):
    with pytest.raises(KeystoreError) as caught:
        custodian_of(kind, Means(profile="gm"))
    assert str(caught.value) == message


def test_a_library_that_is_none_is_told(tmp_path):
    pytest.importorskip("pkcs11", reason="python-pkcs11 is not installed")
    module = tmp_path / "none.so"
    custodian = pkcs11.Pkcs11Custodian(module=Path(module), token="t", label="k", pin="secret-pin")
    assert "secret-pin" not in repr(custodian)
    with pytest.raises(UnsealError) as caught:
        custodian.seal(KEY, b"bound")
    assert str(caught.value) == f"{module}: expected the library of a PKCS#11 device, got no such file"
    module.write_bytes(b"no library")
    with pytest.raises(UnsealError) as caught:
        custodian.seal(KEY, b"bound")
    assert str(caught.value).startswith(f"{module}: token 't', key 'k': expected the token to do that, got '")
