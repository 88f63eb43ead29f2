"""What transit seals and signs, for any input."""

import base64

import pytest
from engines import Mounted
from hypothesis import given, settings
from hypothesis import strategies as st

from keystore import curve, sm2cipher
from keystore.engines.request import RequestError
from keystore.engines.transit import Transit
from keystore.errors import SignatureError
from keystore.sm2 import PrivateKey

unhurried = settings(deadline=None)
few = settings(max_examples=25, deadline=None)
KINDS = ("sm4-gcm", "aes128-gcm96", "aes256-gcm96", "chacha20-poly1305")
SCALAR = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
KEY = PrivateKey(SCALAR)
blobs = st.binary(max_size=80)


def b64(data):
    return base64.b64encode(data).decode()


@pytest.fixture(scope="module")
def mounted():
    found = Mounted(Transit())
    for kind in KINDS:
        found.get(f"keys/{kind}", type=kind)
        found.get(f"keys/{kind}-c", type=kind, derived=True, convergent_encryption=True)
    found.get("keys/ed25519", type="ed25519")
    return found


@few
@given(st.sampled_from(KINDS), st.lists(st.tuples(blobs, blobs), min_size=1, max_size=5))
def test_batches_equal_singles(mounted, kind, pairs):
    items = [{"plaintext": b64(text), "associated_data": b64(more)} for text, more in pairs]
    sealed = mounted.get(f"encrypt/{kind}", batch_input=items)["batch_results"]
    for item, result in zip(items, sealed, strict=True):
        again = {"ciphertext": result["ciphertext"], "associated_data": item["associated_data"]}
        assert mounted.get(f"decrypt/{kind}", **again) == {"plaintext": item["plaintext"]}
    opening = [
        {"ciphertext": result["ciphertext"], "associated_data": item["associated_data"]}
        for item, result in zip(items, sealed, strict=True)
    ]
    opened = mounted.get(f"decrypt/{kind}", batch_input=opening)["batch_results"]
    assert [result["plaintext"] for result in opened] == [item["plaintext"] for item in items]


@few
@given(st.sampled_from(KINDS), blobs, blobs.filter(bool), blobs)
def test_convergent_keys_give_one_ciphertext_per_input(mounted, kind, plain, context, more):
    asked = {"plaintext": b64(plain), "context": b64(context), "associated_data": b64(more)}
    items = [{name: asked[name] for name in asked}] * 2
    single = mounted.get(f"encrypt/{kind}-c", **asked)["ciphertext"]
    results = mounted.get(f"encrypt/{kind}-c", batch_input=items)["batch_results"]
    assert {result["ciphertext"] for result in results} == {single}
    other = mounted.get(f"encrypt/{kind}-c", **{**asked, "plaintext": b64(plain + b"x")})["ciphertext"]
    assert _nonce(other) != _nonce(single)


def _nonce(ciphertext):
    return base64.b64decode(ciphertext.partition(":")[2].partition(":")[2])[:12]


@few
@given(st.sampled_from(KINDS), blobs, st.integers(min_value=0), st.integers(0, 7))
def test_a_flipped_bit_opens_nothing(mounted, kind, plain, position, bit):
    made = mounted.get(f"encrypt/{kind}", plaintext=b64(plain))["ciphertext"]
    data = bytearray(base64.b64decode(made.removeprefix("vault:v1:")))
    data[position % len(data)] ^= 1 << bit
    with pytest.raises(RequestError, match="cipher: message authentication failed"):
        mounted.get(f"decrypt/{kind}", ciphertext="vault:v1:" + b64(bytes(data)))


@few
@given(st.lists(st.sampled_from(["rotate", "raise", "rewrap"]), max_size=8), blobs)
def test_a_ciphertext_opens_as_long_as_its_version_may(steps, plain):
    mounted = Mounted(Transit())
    mounted.get("keys/k")
    held, version, latest, lowest = mounted.get("encrypt/k", plaintext=b64(plain))["ciphertext"], 1, 1, 1
    for step in steps:
        if step == "rotate":
            latest = mounted.get("keys/k/rotate")["latest_version"]
        elif step == "raise":
            lowest = min(lowest + 1, latest)
            mounted.get("keys/k/config", min_decryption_version=lowest)
        elif version >= lowest:
            made = mounted.get("rewrap/k", ciphertext=held)
            held, version = made["ciphertext"], made["key_version"]
            assert version == latest
        if version >= lowest:
            assert mounted.get("decrypt/k", ciphertext=held) == {"plaintext": b64(plain)}
        else:
            assert mounted.refusal("decrypt/k", ciphertext=held)[1].endswith("(too old)")


@few
@given(st.lists(blobs, min_size=1, max_size=4))
def test_signed_batches_equal_singles(mounted, messages):
    items = [{"input": b64(message)} for message in messages]
    results = mounted.get("sign/ed25519", batch_input=items)["batch_results"]
    for item, result in zip(items, results, strict=True):
        assert mounted.get("sign/ed25519", **item)["signature"] == result["signature"]
        assert mounted.get("verify/ed25519", **item, signature=result["signature"]) == {"valid": True}


@settings(max_examples=5, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_sm2_round_trips(message):
    assert sm2cipher.decrypt(SCALAR, sm2cipher.encrypt(KEY.public, message)) == message


@settings(max_examples=10, deadline=None)
@given(st.integers(min_value=1, max_value=curve.N - 1))
def test_a_secret_multiple_of_any_point_is_the_same(scalar):
    assert curve.Gmssl().multiply(scalar, KEY.public.point) == curve.multiply(scalar, KEY.public.point)


@unhurried
@given(st.binary(max_size=120))
def test_junk_is_no_sm2_ciphertext(data):
    with pytest.raises(SignatureError):
        sm2cipher.decrypt(SCALAR, data)
