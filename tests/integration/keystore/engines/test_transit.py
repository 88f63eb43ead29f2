"""The transit engine, asked by hvac."""

import base64
import hashlib

import pytest
from hvac.exceptions import InvalidPath, InvalidRequest

PLAIN = base64.b64encode(b"a secret").decode()
OTHER = base64.b64encode(b"another").decode()


@pytest.fixture
def transit(vault):
    return vault.secrets.transit


def _refused(act, kind=InvalidRequest):
    with pytest.raises(kind) as refused:
        act()
    return refused.value.errors


def test_a_key_lives_its_life(transit):
    transit.create_key("life", exportable=True, allow_plaintext_backup=True)
    old = transit.encrypt_data("life", PLAIN)["data"]
    assert (old["ciphertext"][:9], old["key_version"]) == ("vault:v1:", 1)
    transit.rotate_key("life")
    told = transit.read_key("life")["data"]
    assert (told["latest_version"], sorted(told["keys"]), told["type"]) == (2, ["1", "2"], "aes256-gcm96")
    assert transit.decrypt_data("life", old["ciphertext"])["data"]["plaintext"] == PLAIN
    new = transit.rewrap_data("life", old["ciphertext"])["data"]["ciphertext"]
    assert new.startswith("vault:v2:")
    transit.update_key_configuration("life", min_decryption_version=2)
    transit.update_key_configuration("life", min_encryption_version=2)
    too_old = ["ciphertext or signature version is disallowed by policy (too old)"]
    assert _refused(lambda: transit.decrypt_data("life", old["ciphertext"])) == too_old
    transit.trim_key("life", min_version=2)
    assert list(transit.export_key("life", "encryption-key")["data"]["keys"]) == ["2"]
    backup = transit.backup_key("life")["data"]["backup"]
    transit.restore_key(backup, name="again")
    assert transit.decrypt_data("again", new)["data"]["plaintext"] == PLAIN
    assert {"life", "again"} <= set(transit.list_keys()["data"]["keys"])
    assert _refused(lambda: transit.delete_key("life")) == [
        "error deleting policy life: deletion is not allowed for this key"
    ]
    transit.update_key_configuration("life", deletion_allowed=True)
    transit.delete_key("life")
    with pytest.raises(InvalidPath):
        transit.read_key("life")


def test_missing_keys_are_told(transit):
    assert _refused(lambda: transit.decrypt_data("no", "vault:v1:AAAA")) == ["encryption key not found"]
    assert _refused(lambda: transit.sign_data("no", PLAIN)) == ["signing key not found"]
    assert _refused(lambda: transit.generate_hmac("no", PLAIN)) == ["encryption key not found"]
    assert _refused(lambda: transit.generate_data_key("no", "wrapped")) == ["encryption key not found"]
    missing = ["signature verification key not found"]
    assert _refused(lambda: transit.verify_signed_data("no", PLAIN, signature="vault:v1:AAAA")) == missing


def test_batches_answer_in_order(transit):
    transit.create_key("batch")
    made = transit.encrypt_data("batch", batch_input=[{"plaintext": PLAIN}, {"plaintext": OTHER}])
    sealed = [{"ciphertext": item["ciphertext"]} for item in made["data"]["batch_results"]]
    opened = transit.decrypt_data("batch", batch_input=sealed)["data"]["batch_results"]
    assert [item["plaintext"] for item in opened] == [PLAIN, OTHER]
    with pytest.raises(InvalidRequest) as refused:
        transit.decrypt_data("batch", batch_input=[*sealed, {"ciphertext": "vault:v9:AAAA"}])
    results = refused.value.json["data"]["batch_results"]
    assert [item.get("error") for item in results] == [None, None, "invalid ciphertext: version is too new"]


def test_derived_and_convergent_keys_need_their_context(transit):
    transit.create_key("bound", derived=True, convergent_encryption=True)
    context = base64.b64encode(b"tenant 1").decode()
    made = [transit.encrypt_data("bound", PLAIN, context=context)["data"]["ciphertext"] for _ in range(2)]
    assert made[0] == made[1]
    assert transit.decrypt_data("bound", made[0], context=context)["data"]["plaintext"] == PLAIN
    assert _refused(lambda: transit.decrypt_data("bound", made[0]))[0].startswith("missing 'context'")
    refused = ["cipher: message authentication failed"]
    assert _refused(lambda: transit.decrypt_data("bound", made[0], context=OTHER)) == refused


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p256", "rsa-2048"])
def test_signatures_verify(transit, kind):
    transit.create_key(f"sign-{kind}", key_type=kind)
    made = transit.sign_data(f"sign-{kind}", PLAIN)["data"]["signature"]
    for text, valid in ((PLAIN, True), (OTHER, False)):
        told = transit.verify_signed_data(f"sign-{kind}", text, signature=made)["data"]
        assert told["valid"] is valid


def test_macs_hashes_random_bytes_and_datakeys(transit):
    transit.create_key("mac")
    made = transit.generate_hmac("mac", PLAIN, algorithm="sha2-512")["data"]["hmac"]
    told = transit.verify_signed_data("mac", PLAIN, hmac=made, hash_algorithm="sha2-512")["data"]
    assert told["valid"] is True
    assert len(transit.generate_random_bytes(n_bytes=9, output_format="hex")["data"]["random_bytes"]) == 18
    assert transit.hash_data(PLAIN, algorithm="sha2-256")["data"]["sum"] == hashlib.sha256(b"a secret").hexdigest()
    key = transit.generate_data_key("mac", "plaintext", bits=512)["data"]
    assert transit.decrypt_data("mac", key["ciphertext"])["data"]["plaintext"] == key["plaintext"]


def test_sm2_sm3_and_sm4_are_types_like_others(ours):
    """hvac itself lets through no type that it does not know: the key is written as data."""
    transit = ours.secrets.transit
    ours.write_data("transit/keys/gm-cipher", data={"type": "sm4-gcm"})
    sealed = transit.encrypt_data("gm-cipher", PLAIN)["data"]["ciphertext"]
    assert transit.decrypt_data("gm-cipher", sealed)["data"]["plaintext"] == PLAIN
    ours.write_data("transit/keys/gm", data={"type": "sm2"})
    sealed = transit.encrypt_data("gm", PLAIN)["data"]["ciphertext"]
    assert transit.decrypt_data("gm", sealed)["data"]["plaintext"] == PLAIN
    made = transit.sign_data("gm", PLAIN)["data"]["signature"]
    assert transit.verify_signed_data("gm", PLAIN, signature=made)["data"]["valid"] is True
