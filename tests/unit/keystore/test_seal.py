import unicodedata

import pytest

from keystore import seal
from keystore.errors import KeystoreError, PassphraseError

SECRET = b"s" * 64
BOUND = b'{"name":"release"}'
PLACE = "keys/release.json.sealed"


@pytest.fixture(scope="module", params=["gm", "standard"])
def sealed(request, passphrase):
    return request.param, seal.seal(SECRET, passphrase, profile=request.param, associated=BOUND)


def _unseal(form, passphrase, profile, associated=BOUND):
    return seal.unseal(form, passphrase, profile=profile, associated=associated, place=PLACE)


def test_sealed_forms_open_again(sealed, passphrase):
    profile, form = sealed
    assert _unseal(form, passphrase, profile) == SECRET


def test_sealed_forms_name_their_algorithms(sealed):
    profile, form = sealed
    expected = {
        "gm": {"kdf": "pbkdf2-hmac-sm3", "cipher": "sm4-gcm", "rounds": 600_000},
        "standard": {
            "kdf": "argon2id",
            "cipher": "aes-256-gcm",
            "lanes": 4,
            "memory_kib": 65_536,
            "passes": 3,
        },
    }
    assert {name: form[name] for name in expected[profile]} == expected[profile]


def test_another_passphrase_binding_or_byte_is_refused(sealed, passphrase):
    profile, form = sealed
    flipped = ("B" if form["ciphertext"][0] == "A" else "A") + form["ciphertext"][1:]
    for attempt in (
        lambda: _unseal(form, passphrase + "x", profile),
        lambda: _unseal(form, passphrase, profile, b"{}"),
        lambda: _unseal({**form, "ciphertext": flipped}, passphrase, profile),
    ):
        with pytest.raises(PassphraseError) as refused:
            attempt()
        assert str(refused.value) == (
            f"{PLACE}: expected the passphrase that sealed this, got another, or the file was altered"
        )


GM = {
    "kdf": "pbkdf2-hmac-sm3",
    "rounds": 600_000,
    "salt": "AAAAAAAAAAAAAAAAAAAAAA==",
    "cipher": "sm4-gcm",
    "nonce": "AAAAAAAAAAAAAAAA",
    "ciphertext": "AAAAAAAAAAAAAAAAAAAAAA==",
}
STANDARD = {**GM, "kdf": "argon2id", "cipher": "aes-256-gcm", "lanes": 4, "memory_kib": 65_536, "passes": 3}
del STANDARD["rounds"]


@pytest.mark.parametrize(
    ("profile", "form", "message"),
    [
        ("gm", {**GM, "rounds": 599_999}, ".rounds: expected 600000 to 20000000, got 599999"),
        ("gm", {**GM, "rounds": 20_000_001}, ".rounds: expected 600000 to 20000000, got 20000001"),
        ("gm", {**GM, "rounds": True}, ".rounds: expected a whole number, got true or false"),
        ("gm", {**GM, "rounds": 6e5}, ".rounds: expected a whole number, got a fraction"),
        ("gm", {**GM, "kdf": "scrypt"}, ".kdf: expected 'pbkdf2-hmac-sm3', got 'scrypt'"),
        ("gm", {**GM, "cipher": "none"}, ".cipher: expected 'sm4-gcm', got 'none'"),
        ("gm", {**GM, "salt": "AAAA"}, ".salt: length: expected 16, got 3"),
        ("gm", {**GM, "nonce": "AAAA"}, ".nonce: length: expected 12, got 3"),
        ("gm", {**GM, "ciphertext": "AAAA"}, ".ciphertext: expected at least 16 bytes, got 3"),
        ("gm", {**GM, "ciphertext": "!"}, ".ciphertext: expected canonical base64, got something else"),
        ("gm", {**GM, "more": 1}, ": expected no other field, got 'more'"),
        ("gm", STANDARD, ".rounds: expected this field, got none"),
        ("gm", [], ": expected an object, got an array"),
        ("standard", {**STANDARD, "memory_kib": 1024}, ".memory_kib: expected 65536 to 4194304, got 1024"),
        ("standard", {**STANDARD, "passes": 2}, ".passes: expected 3 to 64, got 2"),
        ("standard", {**STANDARD, "lanes": 1}, ".lanes: expected 4 to 16, got 1"),
        ("other", GM, ": expected the profile 'gm' or 'standard', got 'other'"),
    ],
)
def test_weakened_and_damaged_forms_are_refused(profile, form, message, passphrase):
    with pytest.raises(KeystoreError) as refused:
        _unseal(form, passphrase, profile)
    assert str(refused.value) == PLACE + message
    assert not isinstance(refused.value, PassphraseError)


def test_a_short_passphrase_seals_nothing_new():
    with pytest.raises(PassphraseError) as refused:
        seal.check_passphrase("eleven char")
    assert str(refused.value) == "expected a passphrase of at least 12 characters, got 11"


def test_a_passphrase_is_text():
    with pytest.raises(PassphraseError, match="expected a passphrase in UTF-8, got other bytes"):
        seal.check_passphrase("\udcff" * 12)


def test_composed_and_decomposed_passphrases_are_one(passphrase):
    composed = unicodedata.normalize("NFC", "密码é passphrase")
    form = seal.seal(b"", composed, profile="gm", associated=b"")
    decomposed = unicodedata.normalize("NFD", composed)
    assert decomposed != composed
    assert seal.unseal(form, decomposed, profile="gm", associated=b"", place=PLACE) == b""
