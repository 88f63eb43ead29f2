import json
import shutil
from datetime import UTC, datetime

import pytest

from keystore.errors import KeystoreError, PassphraseError, SignatureError
from keystore.file import FileKeystore, FileSigner
from keystore.signer import Signer
from keystore.sm2 import PrivateKey

CREATED = datetime(2026, 1, 31, 12, tzinfo=UTC)


def _edit(path, **changes):
    document = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({name: value for name, value in document.items() if value is not ...}))


def test_a_key_signs_the_same_bytes_after_reopening(store_path, passphrase):
    store = FileKeystore.open(store_path)
    signer: Signer = store.signer("release", passphrase)
    first = signer.sign(b"message")
    store.public("release").verify(first, b"message")
    assert FileKeystore.open(store_path).signer("release", passphrase).sign(b"message") == first
    assert signer.public == store.public("release")
    assert signer.keyid == signer.public.keyid
    assert repr(signer) == f"FileSigner(keyid='{signer.keyid}')"


def test_the_hedge_secret_decides_the_nonce(key):
    one, two = FileSigner(key, b"1" * 32), FileSigner(key, b"2" * 32)
    assert one.sign(b"m") != two.sign(b"m")
    assert one.sign(b"m")[:20] != one.sign(b"n")[:20]
    assert one.sign_fresh(b"m") != one.sign_fresh(b"m")
    key.public.verify(one.sign_fresh(b"m"), b"m")


def test_files_are_private_and_whole(tmp_path, passphrase):
    path = tmp_path / "deep" / "keystore"
    store = FileKeystore.create(path, passphrase, created=CREATED)
    store.generate("release", passphrase)
    modes = {str(found.relative_to(path)): found.stat().st_mode & 0o777 for found in path.rglob("*")}
    assert modes == {"keystore.json": 0o600, "keys": 0o700, "keys/release.json": 0o600}
    assert path.stat().st_mode & 0o777 == 0o700
    assert json.loads((path / "keystore.json").read_text())["created"] == "2026-01-31T12:00:00Z"


def test_the_private_part_is_nowhere_in_clear(tmp_path, passphrase, key):
    path = tmp_path / "keystore"
    store = FileKeystore.create(path, passphrase, "standard")
    assert store.import_pem("taken", passphrase, key.pem()) == key.public
    assert store.signer("taken", passphrase).public == key.public
    text = (path / "keys/taken.json").read_text()
    assert key.octets().hex() not in text
    assert "PRIVATE" not in text


def test_names_are_sorted(store_path, passphrase):
    store = FileKeystore.open(store_path)
    shutil.copy(store_path / "keys/release.json", store_path / "keys/a.json")
    (store_path / "keys/.a.json.tmp").touch()
    assert store.names() == ("a", "release")


def test_an_existing_keystore_is_not_replaced(store_path, passphrase):
    with pytest.raises(KeystoreError) as refused:
        FileKeystore.create(store_path, passphrase)
    assert str(refused.value) == f"{store_path}: expected no keystore, got one"


def test_an_existing_key_is_not_replaced(store_path, passphrase):
    before = (store_path / "keys/release.json").read_bytes()
    with pytest.raises(KeystoreError) as refused:
        FileKeystore.open(store_path).generate("release", passphrase)
    assert str(refused.value) == "keys/release.json: expected no key 'release', got one"
    assert (store_path / "keys/release.json").read_bytes() == before


@pytest.mark.parametrize("name", ["", "..", "../x", "A", "a/b", "a" * 65, "a\n", "钥"])
def test_names_unfit_for_a_file_are_refused(store_path, name, passphrase):
    store = FileKeystore.open(store_path)
    for act in (lambda: store.public(name), lambda: store.generate(name, passphrase)):
        with pytest.raises(KeystoreError, match="expected a key name of 1 to 64"):
            act()


def test_what_is_missing_is_told(tmp_path, store_path):
    with pytest.raises(KeystoreError) as none:
        FileKeystore.open(tmp_path / "none")
    assert str(none.value) == f"{tmp_path / 'none'}: expected a keystore, got none"
    assert none.value.hint == "make one: ferry keystore init"
    with pytest.raises(KeystoreError) as no_key:
        FileKeystore.open(store_path).public("other")
    assert str(no_key.value) == f"{store_path}: expected the key 'other', got 'release'"


def test_wrong_passphrases_are_refused(store_path):
    store = FileKeystore.open(store_path)
    with pytest.raises(PassphraseError) as refused:
        store.signer("release", "another sentence")
    assert refused.value.place == "keys/release.json.sealed"
    with pytest.raises(PassphraseError) as refused:
        store.generate("second", "another sentence")
    assert refused.value.place == "keystore.json.check"
    assert store.names() == ("release",)


def test_a_short_passphrase_makes_nothing(tmp_path):
    with pytest.raises(PassphraseError):
        FileKeystore.create(tmp_path / "keystore", "short")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_profile_makes_nothing(tmp_path, passphrase):
    with pytest.raises(KeystoreError, match="profile: expected the profile 'gm' or 'standard', got 'x'"):
        FileKeystore.create(tmp_path / "keystore", passphrase, "x")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_open_to_others_is_refused(store_path):
    store_path.chmod(0o755)
    with pytest.raises(KeystoreError) as refused:
        FileKeystore.open(store_path)
    assert str(refused.value) == f"{store_path}: expected mode 0700, got 0755"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, "keystore.json.format: expected 'ferry-keystore', got 'other'"),
        ({"version": 2}, "keystore.json.version: expected 1, got 2"),
        ({"version": "1"}, "keystore.json.version: expected a whole number, got a string"),
        ({"profile": "none"}, "keystore.json.profile: expected the profile 'gm' or 'standard', got 'none'"),
        (
            {"created": "now"},
            "keystore.json.created: expected a time such as '2026-01-31T12:00:00Z', got 'now'",
        ),
        ({"check": []}, "keystore.json.check: expected an object, got an array"),
        ({"check": ...}, "keystore.json.check: expected this field, got none"),
        ({"more": 1}, "keystore.json: expected no other field, got 'more'"),
    ],
)
def test_other_store_files_are_refused(store_path, changes, message):
    _edit(store_path / "keystore.json", **changes)
    with pytest.raises(KeystoreError) as refused:
        FileKeystore.open(store_path)
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "ferry-keystore"}, ".format: expected 'ferry-key', got 'ferry-keystore'"),
        ({"version": 3}, ".version: expected 1, got 3"),
        ({"kind": "sm9"}, ".kind: expected 'sm2-signing-key', got 'sm9'"),
        ({"name": "other"}, ".name: expected 'release', got 'other'"),
        ({"profile": "standard"}, ".profile: expected 'gm', got 'standard'"),
        ({"public": "x"}, ".public: expected one PEM block 'PUBLIC KEY', got something else"),
        ({"sealed": None}, ".sealed: expected an object, got null"),
        ({"keyid": 1}, ".keyid: expected a string, got a whole number"),
    ],
)
def test_other_key_records_are_refused(store_path, changes, message, passphrase):
    _edit(store_path / "keys/release.json", **changes)
    store = FileKeystore.open(store_path)
    for act in (lambda: store.public("release"), lambda: store.signer("release", passphrase)):
        with pytest.raises(KeystoreError) as refused:
            act()
        assert str(refused.value) == f"keys/release.json{message}"


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b"\xff\xfe", b"{" * 1000, b"null"])
def test_damaged_json_is_refused(store_path, data):
    (store_path / "keys/release.json").write_bytes(data)
    with pytest.raises(KeystoreError) as refused:
        FileKeystore.open(store_path).public("release")
    assert refused.value.place == "keys/release.json"


def test_a_replaced_public_key_is_noticed(store_path, passphrase, key):
    _edit(store_path / "keys/release.json", public=key.public.pem(), keyid=key.public.keyid)
    with pytest.raises(PassphraseError):
        FileKeystore.open(store_path).signer("release", passphrase)


def test_a_keyid_that_is_not_the_public_keys_is_noticed(store_path, key):
    _edit(store_path / "keys/release.json", public=key.public.pem())
    with pytest.raises(KeystoreError, match=r"^keys/release\.json\.keyid: expected"):
        FileKeystore.open(store_path).public("release")


def test_a_renamed_record_is_noticed(store_path, passphrase):
    (store_path / "keys/release.json").rename(store_path / "keys/other.json")
    store = FileKeystore.open(store_path)
    with pytest.raises(KeystoreError, match=r"keys/other\.json\.name: expected 'other', got 'release'"):
        store.public("other")
    _edit(store_path / "keys/other.json", name="other")
    with pytest.raises(PassphraseError):
        store.signer("other", passphrase)


def test_a_large_file_and_a_directory_are_refused(store_path):
    path = store_path / "keys/release.json"
    path.write_bytes(b" " * 65_537)
    with pytest.raises(KeystoreError, match="expected at most 65536 bytes, got more"):
        FileKeystore.open(store_path).public("release")
    path.unlink()
    path.mkdir()
    with pytest.raises(KeystoreError, match="expected a usable file or directory, got 'is a directory'"):
        FileKeystore.open(store_path).public("release")


def test_a_failed_write_leaves_nothing(store_path, passphrase, monkeypatch):
    def full(_descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(KeystoreError, match="got 'no space left on device'"):
        FileKeystore.open(store_path).generate("second", passphrase)
    assert [path.name for path in (store_path / "keys").iterdir()] == ["release.json"]


def test_a_refused_key_is_not_imported(store_path, passphrase):
    with pytest.raises(SignatureError):
        FileKeystore.open(store_path).import_pem("taken", passphrase, PrivateKey(1).public.pem())
