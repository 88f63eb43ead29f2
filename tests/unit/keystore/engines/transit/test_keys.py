"""The life of a transit key."""

import base64
import dataclasses

import pytest
from engines import START, Mounted, refusal

from keystore import document
from keystore.engines.transit import archive
from keystore.engines.transit.engine import Transit
from keystore.engines.transit.key import parse_key
from keystore.errors import KeystoreError

AES = {
    "name": "a",
    "type": "aes256-gcm96",
    "allow_plaintext_backup": False,
    "auto_rotate_period": 0,
    "deletion_allowed": False,
    "derived": False,
    "exportable": False,
    "imported_key": False,
    "keys": {"1": int(START.timestamp())},
    "latest_version": 1,
    "min_available_version": 0,
    "min_decryption_version": 1,
    "min_encryption_version": 0,
    "supports_decryption": True,
    "supports_derivation": True,
    "supports_encryption": True,
    "supports_signing": False,
}
# decrypt and encrypt, derive, sign
ABLE = {
    "sm4-gcm": (True, True, False),
    "aes128-gcm96": (True, True, False),
    "aes256-gcm96": (True, True, False),
    "chacha20-poly1305": (True, True, False),
    "sm2": (True, False, True),
    "ed25519": (False, True, True),
    "ecdsa-p256": (False, False, True),
    "ecdsa-p384": (False, False, True),
    "ecdsa-p521": (False, False, True),
    "rsa-2048": (True, False, True),
    "hmac": (False, False, False),
}


def test_a_key_is_made_read_and_made_once(transit):
    assert transit.get("keys/a") == AES
    assert transit.get("keys/a", type="ed25519") == AES
    assert transit.read("keys/a").data == AES
    assert transit.list("keys") == ["a"]


@pytest.mark.parametrize("kind", ABLE)
def test_each_type_tells_what_it_can(transit, kind):
    made = transit.get("keys/k", type=kind)
    encrypts, derives, signs = ABLE[kind]
    assert made["type"] == kind
    assert (made["supports_encryption"], made["supports_decryption"]) == (encrypts, encrypts)
    assert (made["supports_derivation"], made["supports_signing"]) == (derives, signs)
    if signs:
        version = made["keys"]["1"]
        assert version["creation_time"] == "2026-03-01T12:00:00Z"
        assert version["name"] == {"ecdsa-p256": "P-256", "ecdsa-p384": "P-384", "ecdsa-p521": "P-521"}.get(kind, kind)
    if kind == "hmac":
        assert made["key_size"] == 32


def test_the_mount_may_have_another_default_type():
    mounted = Mounted(Transit("sm4-gcm"))
    assert mounted.get("keys/a")["type"] == "sm4-gcm"
    mounted.get("encrypt/b", plaintext="aGk=")
    assert mounted.read("keys/b").data["type"] == "sm4-gcm"


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"type": "xx"}, "unknown key type xx"),
        ({"convergent_encryption": True}, "convergent encryption requires derivation to be enabled"),
        (
            {"type": "sm2", "derived": True},
            "key derivation and convergent encryption not supported for keys of type sm2",
        ),
        (
            {"type": "ed25519", "derived": True, "convergent_encryption": True},
            "key derivation and convergent encryption not supported for keys of type ed25519",
        ),
        ({"auto_rotate_period": "5m"}, "auto rotate period must be 0 to disable or at least an hour"),
        ({"type": "hmac", "key_size": 31}, "invalid key_size 31"),
        ({"type": "hmac", "key_size": 513}, "invalid key_size 513"),
        ({"key_size": 32}, "invalid key_size 32"),
    ],
)
def test_a_key_that_cannot_be_is_refused(transit, asked, message):
    assert transit.refusal("keys/k", **asked) == (400, message)
    assert transit.records.kept == {}


def test_what_is_not_there_is_not_found(transit):
    assert refusal(lambda: transit.read("keys/no")) == (404, "")
    assert refusal(lambda: transit.list("keys")) == (404, "")
    assert refusal(lambda: transit.read("nothing")) == (404, "unsupported path")
    assert refusal(lambda: transit.read("encrypt/no")) == (405, "unsupported operation")
    assert transit.refusal("keys/bad!") == (404, "unsupported path")
    assert transit.refusal("keys/no/config") == (400, "no existing key named no could be found")
    assert transit.refusal("keys/no/rotate") == (400, "key not found")
    assert transit.refusal("keys/no/trim") == (400, "invalid key name")


def test_only_a_key_that_may_be_deleted_is(transit):
    transit.get("keys/a")
    refused = (400, "error deleting policy a: deletion is not allowed for this key")
    assert refusal(lambda: transit.delete("keys/a")) == refused
    transit.get("keys/a/config", deletion_allowed=True)
    assert transit.delete("keys/a").data is None
    refused = (400, "error deleting policy a: could not delete key; not found")
    assert refusal(lambda: transit.delete("keys/a")) == refused
    assert transit.records.kept == {}


def test_versions_are_raised_and_trimmed(transit):
    transit.get("keys/a")
    for _ in range(2):
        transit.get("keys/a/rotate")
    config = "keys/a/config"
    assert transit.get(config, min_decryption_version=3)["keys"] == {"3": int(START.timestamp())}
    assert transit.refusal(config, min_encryption_version=2) == (
        400,
        "cannot set min encryption/decryption values; min encryption version of 2 must be greater than or equal to "
        "min decryption version of 3",
    )
    made = transit.get(config, min_decryption_version=2, min_encryption_version=3)
    assert (sorted(made["keys"]), made["min_encryption_version"]) == (["2", "3"], 3)
    trim = "keys/a/trim"
    assert transit.refusal(trim) == (400, "missing min_available_version")
    word = "minimum available version cannot be "
    assert transit.refusal(trim, min_available_version=9) == (400, word + "greater than minmum encryption version")
    assert transit.refusal(trim, min_available_version=3) == (400, word + "greater than minimum decryption version")
    assert transit.get(trim, min_available_version=2)["min_available_version"] == 2
    assert transit.refusal(trim, min_available_version=1) == (400, word + "decremented")
    refused = (400, "min decryption version should not be less then min available version")
    assert transit.refusal(config, min_decryption_version=1) == refused
    kept = archive.find(transit.records, "a")
    assert sorted(kept.versions) == [2, 3]


@pytest.mark.parametrize("word", ["decryption", "encryption"])
def test_versions_that_are_not_there_are_refused(transit, word):
    transit.get("keys/a")
    config, name = "keys/a/config", f"min_{word}_version"
    refused = (400, f"cannot set min {word} version of 2, latest key version is 1")
    assert transit.refusal(config, **{name: 2}) == refused
    assert transit.refusal(config, **{name: -1}) == (400, f"min {word} version cannot be negative")


def test_what_was_once_exportable_stays_so(transit):
    transit.get("keys/a")
    made = transit.get("keys/a/config", exportable=True, allow_plaintext_backup=True)
    assert made["exportable"] is made["allow_plaintext_backup"] is True
    made = transit.get("keys/a/config", exportable=False, allow_plaintext_backup=False)
    assert made["exportable"] is made["allow_plaintext_backup"] is True


def test_a_key_rotates_at_the_first_use_after_its_time(transit):
    transit.get("keys/a", auto_rotate_period="1h")
    transit.pass_time(3599)
    assert transit.get("encrypt/a", plaintext="")["key_version"] == 1
    transit.pass_time(1)
    assert transit.get("encrypt/a", plaintext="")["key_version"] == 2
    assert transit.get("encrypt/a", plaintext="")["key_version"] == 2


def test_secrets_are_in_no_repr_and_no_description(transit):
    transit.get("keys/a", exportable=True)
    kept = archive.find(transit.records, "a")
    secret = kept.versions[1].secret
    shown = repr(kept) + str(transit.read("keys/a").data)
    for form in (repr(secret), secret.hex(), base64.b64encode(secret).decode()):
        assert form not in shown


def test_records_are_read_in_their_one_form(transit):
    transit.get("keys/a")
    data = transit.records.get("keys/a")
    assert parse_key(data, "k").encode() == data
    found = document.parse(data, "k")
    for change, message in (
        ({"type": "xx"}, "k.type: expected a known type of key, got 'xx'"),
        ({"format": "x"}, "k.format: expected 'ferry/transit-key/v1', got 'x'"),
        ({"more": 1}, "k: expected no other field, got 'more'"),
        ({"size": "1"}, "k.size: expected a whole number, got a string"),
        ({"versions": {}}, "k.versions: expected versions without a gap, got others"),
        ({"versions": {"2": found["versions"]["1"]}}, "k: expected a lowest version that is there, got another"),
        (
            {"versions": {"01": found["versions"]["1"]}},
            "k.versions: expected a version of 1 or more, got something else",
        ),
        ({"min_decryption": 2}, "k: expected a lowest version that is there, got another"),
        ({"min_encryption": 2}, "k: expected min_encryption from min_decryption to the latest, got another"),
    ):
        with pytest.raises(KeystoreError) as refused:
            parse_key(document.canonical(found | change), "k")
        assert str(refused.value) == message
    with pytest.raises(KeystoreError, match="k: expected canonical JSON, got another form"):
        parse_key(document.readable(found), "k")


def test_a_failed_request_changes_nothing(transit):
    transit.get("keys/a")
    before = dict(transit.records.kept)
    transit.refusal("keys/a/config", min_decryption_version=5, deletion_allowed=True)
    assert transit.records.kept == before
    assert dataclasses.replace(archive.find(transit.records, "a")).deletion_allowed is False
