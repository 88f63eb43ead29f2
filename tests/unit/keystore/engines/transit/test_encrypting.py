"""Encrypt, decrypt, rewrap, datakey: single, in batches, bound to contexts and associated data."""

import base64

import pytest
from engines import Mounted, refusal

from keystore import sm4
from keystore.engines.request import Operation
from keystore.engines.transit import archive
from keystore.engines.transit.engine import Transit

SYMMETRIC = ("sm4-gcm", "aes128-gcm96", "aes256-gcm96", "chacha20-poly1305")
ALL = (*SYMMETRIC, "sm2", "rsa-2048")
NO_CONTEXT = (
    "missing 'context' for key derivation; the key was created using a derived key, which means additional, "
    "per-request information must be included in order to perform operations with the key"
)


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.fixture(scope="module")
def every():
    """Every type of key that encrypts, made once; no test here changes them."""
    mounted = Mounted(Transit())
    for kind in ALL:
        mounted.get(f"keys/{kind}", type=kind)
    mounted.get("keys/ed25519", type="ed25519")
    return mounted


@pytest.mark.parametrize("kind", ALL)
def test_what_is_encrypted_decrypts(every, kind):
    made = every.get(f"encrypt/{kind}", plaintext=b64("secret"))
    assert made["key_version"] == 1
    assert made["ciphertext"].startswith("vault:v1:")
    assert every.get(f"decrypt/{kind}", ciphertext=made["ciphertext"]) == {"plaintext": b64("secret")}
    assert every.get(f"encrypt/{kind}", plaintext=b64("secret")) != made
    again = every.get(f"rewrap/{kind}", ciphertext=made["ciphertext"])
    assert again["ciphertext"] != made["ciphertext"]
    assert every.get(f"decrypt/{kind}", ciphertext=again["ciphertext"]) == {"plaintext": b64("secret")}


@pytest.mark.parametrize("kind", SYMMETRIC)
def test_associated_data_must_be_the_same(every, kind):
    made = every.get(f"encrypt/{kind}", plaintext=b64("x"), associated_data=b64("account 7"))["ciphertext"]
    decrypt = f"decrypt/{kind}"
    assert every.get(decrypt, ciphertext=made, associated_data=b64("account 7")) == {"plaintext": b64("x")}
    for other in (b64("account 8"), ""):
        refused = (400, "cipher: message authentication failed")
        assert every.refusal(decrypt, ciphertext=made, associated_data=other) == refused


@pytest.mark.parametrize("kind", ["sm2", "rsa-2048"])
def test_other_ciphers_take_no_associated_data(every, kind):
    refused = (400, f"'[0].associated_data' provided for non-AEAD cipher suite {kind}")
    assert every.refusal(f"encrypt/{kind}", plaintext=b64("x"), associated_data=b64("y")) == refused
    made = every.get(f"encrypt/{kind}", plaintext=b64("x"))["ciphertext"]
    assert every.refusal(f"decrypt/{kind}", ciphertext=made, associated_data=b64("y")) == refused


def test_sm4_is_sm4(every):
    made = every.get("encrypt/sm4-gcm", plaintext=b64("secret"))["ciphertext"]
    data = base64.b64decode(made.removeprefix("vault:v1:"))
    secret = archive.find(every.records, "sm4-gcm").versions[1].secret
    assert sm4.gcm_decrypt(secret, data[:12], data[12:], b"") == b"secret"


@pytest.mark.parametrize(
    ("ciphertext", "message"),
    [
        ("", "missing ciphertext to decrypt"),
        ("abc", "invalid ciphertext: no prefix"),
        ("vault:v1", "invalid ciphertext: wrong number of fields"),
        ("vault:vx:AAAA", "invalid ciphertext: version number could not be decoded"),
        ("vault:v9:AAAA", "invalid ciphertext: version is too new"),
        ("vault:v0:AAAA", "ciphertext or signature version is disallowed by policy (too old)"),
        ("vault:v1:AAAA", "invalid ciphertext length"),
        ("vault:v1:A!AA", "invalid ciphertext: could not decode base64"),
        ("vault:v1:" + "A" * 80, "cipher: message authentication failed"),
    ],
)
def test_what_is_no_ciphertext_is_refused(every, ciphertext, message):
    for path in ("decrypt/aes256-gcm96", "rewrap/sm4-gcm"):
        assert every.refusal(path, ciphertext=ciphertext) == (400, message)


def test_wrong_ciphertexts_of_asymmetric_keys_are_refused(every):
    refused = (400, "failed to RSA decrypt the ciphertext: decryption error")
    assert every.refusal("decrypt/rsa-2048", ciphertext="vault:v1:" + "A" * 80) == refused
    refused = (400, "ciphertext: expected the DER tag 0x30, got 0x00")
    assert every.refusal("decrypt/sm2", ciphertext="vault:v1:" + "A" * 80) == refused
    refused = (400, "failed to RSA encrypt the plaintext: message too long for RSA key size")
    assert every.refusal("encrypt/rsa-2048", plaintext=b64("x" * 191)) == refused
    every.get("encrypt/rsa-2048", plaintext=b64("x" * 190))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "missing plaintext to encrypt"),
        ({"plaintext": "!!"}, "illegal base64 data at input byte 0"),
        ({"plaintext": "", "context": "!!"}, "illegal base64 data at input byte 0"),
        ({"plaintext": "", "key_version": 2}, "requested version for encryption is higher than the latest key version"),
        ({"plaintext": "", "key_version": -1}, "requested version for encryption is negative"),
        ({"batch_input": []}, "missing batch input to process"),
        ({"batch_input": "x"}, "failed to parse batch input: source data must be an array or slice"),
        ({"batch_input": [1]}, "failed to parse batch input: [0] expected a map"),
        ({"batch_input": [{"plaintext": 5}]}, "failed to parse batch input: '[0].plaintext' expected type 'string'"),
        (
            {"batch_input": [{"plaintext": ""}, {}]},
            "failed to parse batch input: '[1].plaintext' missing plaintext to encrypt",
        ),
        (
            {"batch_input": [{"plaintext": ""}, {"plaintext": "", "context": "eA=="}]},
            "context should be set either in all the request blocks or in none",
        ),
    ],
)
def test_what_cannot_be_encrypted_is_refused(every, fields, message):
    assert every.refusal("encrypt/aes256-gcm96", **fields) == (400, message)


def test_keys_that_only_sign_do_not_encrypt(every):
    refused = (400, "message encryption not supported for key type ed25519")
    assert every.refusal("encrypt/ed25519", plaintext="") == refused
    assert every.refusal("datakey/wrapped/ed25519") == refused
    refused = (400, "message decryption not supported for key type ed25519")
    assert every.refusal("decrypt/ed25519", ciphertext="vault:v1:AAAA") == refused


def test_a_key_that_is_not_there_is_told(transit):
    for path in ("decrypt/no", "rewrap/no"):
        assert transit.refusal(path, ciphertext="vault:v1:AAAA") == (400, "encryption key not found")
    assert transit.refusal("datakey/wrapped/no") == (400, "encryption key not found")
    missing = refusal(lambda: transit.ask(Operation.UPDATE, "encrypt/no", {"plaintext": ""}))
    assert missing == (400, "encryption key not found")


def test_who_may_create_makes_the_key_by_encrypting(transit):
    assert transit.engine.exists("encrypt/new", transit.records) is False
    transit.get("encrypt/new", plaintext=b64("x"))
    assert transit.engine.exists("encrypt/new", transit.records) is True
    assert transit.read("keys/new").data["derived"] is False
    transit.get("encrypt/bound", plaintext=b64("x"), context=b64("c"), convergent_encryption=True, exportable=True)
    made = transit.read("keys/bound").data
    assert (made["derived"], made["convergent_encryption"], made["exportable"]) == (True, True, False)
    transit.get("encrypt/batch", batch_input=[{"plaintext": "", "context": b64("c")}], type="chacha20-poly1305")
    made = transit.read("keys/batch").data
    assert (made["derived"], made["type"]) == (True, "chacha20-poly1305")
    assert transit.refusal("encrypt/other", plaintext="", type="sm2") == (400, "unknown key type sm2")
    assert transit.refusal("encrypt/other", plaintext="", type="zz") == (400, "unknown key type zz")


@pytest.mark.parametrize("kind", SYMMETRIC)
def test_derived_keys_need_their_context(transit, kind):
    transit.get("keys/d", type=kind, derived=True)
    assert transit.refusal("encrypt/d", plaintext="") == (400, NO_CONTEXT)
    made = transit.get("encrypt/d", plaintext=b64("x"), context=b64("one"))["ciphertext"]
    assert transit.refusal("decrypt/d", ciphertext=made) == (400, NO_CONTEXT)
    refused = (400, "cipher: message authentication failed")
    assert transit.refusal("decrypt/d", ciphertext=made, context=b64("two")) == refused
    assert transit.get("decrypt/d", ciphertext=made, context=b64("one")) == {"plaintext": b64("x")}
    assert transit.get("encrypt/d", plaintext=b64("x"), context=b64("one"))["ciphertext"] != made
    assert transit.read("keys/d").data["kdf"] == ("hkdf_sm3" if kind == "sm4-gcm" else "hkdf_sha256")


@pytest.mark.parametrize("kind", SYMMETRIC)
def test_convergent_keys_repeat_and_share_no_nonce(transit, kind):
    transit.get("keys/c", type=kind, derived=True, convergent_encryption=True)

    def encrypt(text, context="c", associated=""):
        return transit.get("encrypt/c", plaintext=b64(text), context=b64(context), associated_data=b64(associated))[
            "ciphertext"
        ]

    assert encrypt("x") == encrypt("x")
    made = [encrypt("x"), encrypt("y"), encrypt("x", "d"), encrypt("x", "c", "a"), encrypt("", "c", "x")]
    assert len({base64.b64decode(text.removeprefix("vault:v1:"))[:12] for text in made}) == len(made)
    assert transit.get("decrypt/c", ciphertext=made[3], context=b64("c"), associated_data=b64("a")) == {
        "plaintext": b64("x")
    }


def test_versions_decide_what_opens(transit):
    transit.get("keys/a")
    old = transit.get("encrypt/a", plaintext=b64("x"))["ciphertext"]
    transit.get("keys/a/rotate")
    assert transit.get("encrypt/a", plaintext=b64("x"), key_version=1)["key_version"] == 1
    new = transit.get("rewrap/a", ciphertext=old)
    assert new["key_version"] == 2
    assert new["ciphertext"].startswith("vault:v2:")
    transit.get("keys/a/config", min_encryption_version=2, min_decryption_version=2)
    refused = (400, "ciphertext or signature version is disallowed by policy (too old)")
    assert transit.refusal("decrypt/a", ciphertext=old) == refused
    refused = (400, "requested version for encryption is less than the minimum encryption key version")
    assert transit.refusal("encrypt/a", plaintext="", key_version=1) == refused
    transit.get("keys/a/config", min_encryption_version=0, min_decryption_version=1)
    assert transit.get("decrypt/a", ciphertext=old) == {"plaintext": b64("x")}
    transit.get("keys/a/config", min_decryption_version=2)
    transit.get("keys/a/trim", min_available_version=2)
    assert transit.refusal("encrypt/a", plaintext="", key_version=1)[0] == 400
    assert transit.get("decrypt/a", ciphertext=new["ciphertext"]) == {"plaintext": b64("x")}


def test_a_ciphertext_of_another_version_does_not_open_under_this_one(transit):
    transit.get("keys/a")
    transit.get("keys/a/rotate")
    made = transit.get("encrypt/a", plaintext=b64("x"), key_version=1)["ciphertext"]
    refused = (400, "cipher: message authentication failed")
    assert transit.refusal("decrypt/a", ciphertext=made.replace("v1", "v2", 1)) == refused


def test_batches_answer_each_item(transit):
    transit.get("keys/a")
    answer = transit.write("encrypt/a", batch_input=[{"plaintext": b64("x"), "reference": "r"}, {"plaintext": ""}])
    first, second = answer.data["batch_results"]
    assert (answer.status, first["reference"], second["reference"], first["key_version"]) == (None, "r", "", 1)
    items = [{"ciphertext": first["ciphertext"]}, {"ciphertext": second["ciphertext"], "reference": "s"}]
    answer = transit.write("decrypt/a", batch_input=items)
    assert answer.data["batch_results"] == [
        {"plaintext": b64("x"), "reference": ""},
        {"plaintext": "", "reference": "s"},
    ]
    assert transit.write("rewrap/a", batch_input=[*items, {"ciphertext": "x"}]).status is None


def test_a_failed_item_fails_the_status_but_no_other_item(transit):
    transit.get("keys/a")
    batch = [{"plaintext": b64("x")}, {"plaintext": "!!!", "reference": "r"}]
    answer = transit.write("encrypt/a", batch_input=batch)
    good, bad = answer.data["batch_results"]
    assert answer.status == 400
    assert bad == {"error": "illegal base64 data at input byte 0", "reference": "r"}
    assert transit.write("encrypt/a", batch_input=batch, partial_failure_response_code=202).status == 202
    assert transit.write("encrypt/a", batch_input=batch[1:], partial_failure_response_code=202).status == 400
    refused = (400, "invalid partial_failure_response_code 99")
    assert transit.refusal("encrypt/a", batch_input=batch, partial_failure_response_code=99) == refused
    items = [{"ciphertext": good["ciphertext"]}, {"ciphertext": "vault:v9:AAAA"}]
    answer = transit.write("decrypt/a", batch_input=items)
    assert answer.status == 400
    assert answer.data["batch_results"][1] == {
        "plaintext": "",
        "error": "invalid ciphertext: version is too new",
        "reference": "",
    }


def test_datakeys_come_wrapped_and_in_clear(transit):
    transit.get("keys/a", type="sm4-gcm")
    for bits in (128, 256, 512):
        made = transit.get("datakey/plaintext/a", bits=bits)
        assert len(base64.b64decode(made["plaintext"])) == bits // 8
        assert transit.get("decrypt/a", ciphertext=made["ciphertext"]) == {"plaintext": made["plaintext"]}
        assert sorted(transit.get("datakey/wrapped/a", bits=bits)) == ["ciphertext", "key_version"]
    assert transit.refusal("datakey/wrapped/a", bits=129) == (400, "invalid bit length")
    assert transit.refusal("datakey/other/a") == (400, "Invalid path, must be 'plaintext' or 'wrapped'")
