"""Sign, verify and hmac: single and in batches, every type, checked by other programs too."""

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils
from engines import Mounted

from keystore import sm3
from keystore.engines.transit import archive
from keystore.engines.transit.engine import Transit
from keystore.sm2 import PublicKey

SIGNERS = ("sm2", "ed25519", "ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "rsa-2048")
MESSAGE = base64.b64encode(b"a message").decode()
OTHER = base64.b64encode(b"another").decode()


@pytest.fixture(scope="module")
def every():
    """Every type of key that signs, made once; no test here changes them."""
    mounted = Mounted(Transit())
    for kind in SIGNERS:
        mounted.get(f"keys/{kind}", type=kind)
    mounted.get("keys/aes")
    mounted.get("keys/hmac", type="hmac")
    mounted.get("keys/derived", type="ed25519", derived=True)
    return mounted


def _signature(text):
    return base64.b64decode(text.removeprefix("vault:v1:"))


def _public(mounted, kind):
    pem = archive.find(mounted.records, kind).versions[1].public
    return serialization.load_pem_public_key(pem.encode())


@pytest.mark.parametrize("marshaling", ["asn1", "jws"])
@pytest.mark.parametrize("kind", SIGNERS)
def test_what_is_signed_verifies_and_nothing_else(every, kind, marshaling):
    form = {"marshaling_algorithm": marshaling}
    made = every.get(f"sign/{kind}", input=MESSAGE, **form)
    assert made["key_version"] == 1
    verify = f"verify/{kind}"
    assert every.get(verify, input=MESSAGE, signature=made["signature"], **form) == {"valid": True}
    assert every.get(verify, input=OTHER, signature=made["signature"], **form) == {"valid": False}


@pytest.mark.parametrize("kind", ["ecdsa-p256", "rsa-2048"])
@pytest.mark.parametrize("name", ["sha2-256", "sha2-384", "sha2-512", "sha3-256"])
def test_a_digest_signs_as_its_message(every, kind, name):
    digest = hashlib.new(name.replace("sha2-", "sha").replace("sha3-", "sha3_"), b"a message").digest()
    made = every.get(f"sign/{kind}/{name}", input=base64.b64encode(digest).decode(), prehashed=True)["signature"]
    assert every.get(f"verify/{kind}", hash_algorithm=name, input=MESSAGE, signature=made) == {"valid": True}
    refused = (400, "prehashed input must be as long as the hash algorithm's digest")
    assert every.refusal(f"sign/{kind}/{name}", input=MESSAGE, prehashed=True) == refused


def test_sm2_signs_digests_of_sm3_alone(every):
    state = PublicKey.from_pem(archive.find(every.records, "sm2").versions[1].public).hasher()
    state.update(b"a message")
    made = every.get("sign/sm2", input=base64.b64encode(state.digest()).decode(), prehashed=True)["signature"]
    assert every.get("verify/sm2/sm3", input=MESSAGE, signature=made) == {"valid": True}
    refused = (400, "hash algorithm sha2-256 does not fit SM2, which signs with sm3 alone")
    assert every.refusal("sign/sm2/sha2-256", input=MESSAGE) == refused


def test_the_library_verifies_what_we_sign(every):
    made = every.get("sign/ecdsa-p384/sha2-384", input=MESSAGE)["signature"]
    _public(every, "ecdsa-p384").verify(_signature(made), b"a message", ec.ECDSA(hashes.SHA384()))
    flat = every.get("sign/ecdsa-p521/sha2-512", input=MESSAGE, marshaling_algorithm="jws")["signature"]
    pair = base64.urlsafe_b64decode(flat.removeprefix("vault:v1:") + "==")
    assert len(pair) == 132
    signature = utils.encode_dss_signature(int.from_bytes(pair[:66], "big"), int.from_bytes(pair[66:], "big"))
    _public(every, "ecdsa-p521").verify(signature, b"a message", ec.ECDSA(hashes.SHA512()))
    made = every.get("sign/rsa-2048", input=MESSAGE, signature_algorithm="pkcs1v15")["signature"]
    _public(every, "rsa-2048").verify(_signature(made), b"a message", padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.parametrize(("asked", "length"), [("hash", 32), ("auto", 222), ("20", 20), (0, 0)])
def test_pss_salts_are_as_asked(every, asked, length):
    made = every.get("sign/rsa-2048", input=MESSAGE, salt_length=asked)["signature"]
    pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=length)
    _public(every, "rsa-2048").verify(_signature(made), b"a message", pss, hashes.SHA256())
    assert every.get("verify/rsa-2048", input=MESSAGE, signature=made) == {"valid": True}
    other = {"input": MESSAGE, "signature": made, "signature_algorithm": "pkcs1v15"}
    assert every.get("verify/rsa-2048", **other) == {"valid": False}


def test_openssl_verifies_sm2_and_signs_for_us(every, openssl, tmp_path):
    (tmp_path / "m").write_bytes(b"a message")
    (tmp_path / "pub.pem").write_text(archive.find(every.records, "sm2").versions[1].public)
    (tmp_path / "sig").write_bytes(_signature(every.get("sign/sm2", input=MESSAGE)["signature"]))
    identity = ("-sigopt", "distid:1234567812345678")
    files = ("-verify", tmp_path / "pub.pem", *identity, "-signature", tmp_path / "sig", tmp_path / "m")
    assert openssl("dgst", "-sm3", *files) == b"Verified OK\n"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "missing input"),
        ({"input": "!!"}, "unable to decode input as base64: illegal base64 data at input byte 0"),
        ({"input": "", "hash_algorithm": "zz"}, 'invalid hash algorithm "zz"'),
        ({"input": "", "marshaling_algorithm": "zz"}, 'invalid marshaling type "zz"'),
        ({"input": "", "salt_length": "zz"}, "salt length neither 'auto', 'hash', nor an int: zz"),
        ({"input": "", "salt_length": "500"}, "requested salt length 500 is invalid"),
        ({"input": "", "signature_algorithm": "zz"}, "unsupported rsa signature algorithm zz"),
        ({"input": "", "key_version": 2}, "requested version for signing is higher than the latest key version"),
        ({"batch_input": []}, "missing batch input to process"),
        (
            {"input": "", "hash_algorithm": "none"},
            "hash_algorithm=none is not supported: send the input, or its digest with prehashed=true",
        ),
    ],
)
def test_what_cannot_be_signed_is_refused(every, fields, message):
    assert every.refusal("sign/rsa-2048", **fields) == (400, message)


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("zz", "invalid signature: no prefix"),
        ("vault:v1", "invalid signature: wrong number of fields"),
        ("vault:vx:AAAA", "invalid signature: version number could not be decoded"),
        ("vault:v9:AAAA", "invalid signature: version is too new"),
        ("vault:v0:AAAA", "ciphertext or signature version is disallowed by policy (too old)"),
        ("vault:v1:!!", "invalid base64 signature value"),
        ("", "neither a 'signature' nor an 'hmac' were given to verify"),
    ],
)
def test_what_is_no_signature_is_refused(every, signature, message):
    for kind in ("ed25519", "sm2"):
        assert every.refusal(f"verify/{kind}", input=MESSAGE, signature=signature) == (400, message)


def test_a_wrong_signature_is_told(every):
    for kind in ("ed25519", "sm2", "rsa-2048"):
        assert every.get(f"verify/{kind}", input=MESSAGE, signature="vault:v1:AAAA") == {"valid": False}
    refused = (400, "supplied signature is invalid")
    assert every.refusal("verify/ecdsa-p256", input=MESSAGE, signature="vault:v1:AAAA") == refused
    jws = {"signature": "vault:v1:AAAA", "marshaling_algorithm": "jws"}
    assert every.refusal("verify/sm2", input=MESSAGE, **jws) == refused
    refused = (400, "invalid base64 signature value")
    assert every.refusal("verify/sm2", input=MESSAGE, **{**jws, "signature": "vault:v1:AAAB="}) == refused


def test_keys_that_do_not_sign_are_told(every):
    assert every.refusal("sign/no", input=MESSAGE) == (400, "signing key not found")
    assert every.refusal("sign/aes", input=MESSAGE) == (400, "key type aes256-gcm96 does not support signing")
    missing = (400, "signature verification key not found")
    assert every.refusal("verify/no", input=MESSAGE, signature="vault:v1:AA==") == missing
    refused = (400, "key type hmac does not support verification")
    assert every.refusal("verify/hmac", input=MESSAGE, signature="vault:v1:AA==") == refused


def test_derived_keys_sign_per_context(every):
    refused = every.refusal("sign/derived", input=MESSAGE)
    assert refused[1].startswith("missing 'context' for key derivation")
    made = every.get("sign/derived", input=MESSAGE, context="YQ==")
    told = every.read("keys/derived", context="YQ==").data["keys"]["1"]["public_key"]
    assert made["public_key"] == told
    assert every.read("keys/derived").data["keys"]["1"]["public_key"] == ""
    signed = {"input": MESSAGE, "signature": made["signature"]}
    assert every.get("verify/derived", context="YQ==", **signed) == {"valid": True}
    assert every.get("verify/derived", context="Yg==", **signed) == {"valid": False}
    batch = [{"input": MESSAGE, "context": "YQ=="}, {"input": MESSAGE, "context": "Yg=="}]
    results = every.get("sign/derived", batch_input=batch)["batch_results"]
    assert results[0]["publickey"] == told != results[1]["publickey"]


def test_batches_are_signed_and_verified(every):
    batch = [{"input": MESSAGE, "reference": "r"}, {"input": "!!"}, {}]
    answer = every.write("sign/ed25519", batch_input=batch)
    assert answer.status is None
    good, *bad = answer.data["batch_results"]
    assert (good["key_version"], good["reference"]) == (1, "r")
    assert bad == [
        {
            "key_version": 0,
            "error": "unable to decode input as base64: illegal base64 data at input byte 0",
            "reference": "",
        },
        {"key_version": 0, "error": "missing input", "reference": ""},
    ]
    signed = {"input": MESSAGE, "signature": good["signature"]}
    results = every.get(
        "verify/ed25519", batch_input=[signed, {**signed, "input": OTHER}, {**signed, "signature": "z"}]
    )
    assert results["batch_results"] == [
        {"valid": True, "reference": ""},
        {"valid": False, "reference": ""},
        {"valid": False, "error": "invalid signature: no prefix", "reference": ""},
    ]
    refused = (400, "some elements of batch_input are missing 'signature'")
    assert every.refusal("verify/ed25519", batch_input=[signed, {"input": MESSAGE}]) == refused
    refused = (400, "elements of batch_input must all provide 'signature' or all provide 'hmac'")
    assert every.refusal("verify/ed25519", batch_input=[signed, {"input": MESSAGE, "hmac": "x"}]) == refused


@pytest.mark.parametrize("kind", ["aes", "ed25519", "hmac"])
def test_every_key_authenticates(every, kind):
    made = every.get(f"hmac/{kind}", input=MESSAGE)["hmac"]
    secret = archive.find(every.records, kind).versions[1].mac_secret
    assert _signature(made) == hmac.digest(secret, b"a message", "sha256")
    gm = every.get(f"hmac/{kind}/sm3", input=MESSAGE)["hmac"]
    assert _signature(gm) == sm3.hmac_sm3(secret, b"a message")
    assert every.get(f"verify/{kind}", input=MESSAGE, hmac=made) == {"valid": True}
    assert every.get(f"verify/{kind}/sm3", input=MESSAGE, hmac=gm) == {"valid": True}
    assert every.get(f"verify/{kind}", input=OTHER, hmac=made) == {"valid": False}
    assert every.get(f"verify/{kind}", input=MESSAGE, hmac="vault:v1:AAAA") == {"valid": False}
    results = every.get(
        f"verify/{kind}", batch_input=[{"input": MESSAGE, "hmac": made}, {"input": OTHER, "hmac": made}]
    )
    assert [result["valid"] for result in results["batch_results"]] == [True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zz", "invalid HMAC to verify: no prefix"),
        ("vault:v1", "invalid HMAC: wrong number of fields"),
        ("vault:vx:AAAA", "invalid HMAC: version number could not be decoded"),
        ("vault:v9:AAAA", "invalid HMAC: version is too new"),
        ("vault:v0:AAAA", "cannot verify HMAC: version is too old (disallowed by policy)"),
        ("vault:v1:!!", "unable to decode verification HMAC as base64: illegal base64 data at input byte 0"),
    ],
)
def test_what_is_no_mac_is_refused(every, text, message):
    assert every.refusal("verify/aes", input=MESSAGE, hmac=text) == (400, message)


def test_what_cannot_be_authenticated_is_refused(every):
    assert every.refusal("hmac/no", input=MESSAGE) == (400, "encryption key not found")
    assert every.refusal("hmac/aes") == (400, "missing input for HMAC")
    assert every.refusal("hmac/aes/zz", input=MESSAGE) == (400, "unsupported algorithm 'zz'")
    refused = (400, "key version does not exist; latest key version is 1")
    assert every.refusal("hmac/aes", input=MESSAGE, key_version=2) == refused


def test_old_versions_verify_until_they_are_disallowed(transit):
    transit.get("keys/k", type="ecdsa-p256")
    old, mac = (transit.get(f"{verb}/k", input=MESSAGE) for verb in ("sign", "hmac"))
    transit.get("keys/k/rotate")
    assert transit.get("sign/k", input=MESSAGE)["key_version"] == 2
    assert transit.get("verify/k", input=MESSAGE, signature=old["signature"]) == {"valid": True}
    transit.get("keys/k/config", min_decryption_version=2)
    refused = (400, "ciphertext or signature version is disallowed by policy (too old)")
    assert transit.refusal("verify/k", input=MESSAGE, signature=old["signature"]) == refused
    refused = (400, "cannot verify HMAC: version is too old (disallowed by policy)")
    assert transit.refusal("verify/k", input=MESSAGE, hmac=mac["hmac"]) == refused
