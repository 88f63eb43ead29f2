import pickle

import pytest

from keystore import curve, der, scheme, selftest
from keystore.errors import KeystoreError, SignatureError
from keystore.sm2 import PrivateKey, PublicKey

STANDARD = PublicKey(x=selftest.SIGN_POINT[0], y=selftest.SIGN_POINT[1])
STANDARD_SIGNATURE = scheme.encode_signature(selftest.SIGN_R, selftest.SIGN_S)
MISMATCH = "signature: expected a signature of this message by this key, got one that does not match"


def test_the_standards_example_verifies():
    # GM/T 0003.5-2012, annex A.
    STANDARD.verify(STANDARD_SIGNATURE, b"message digest")
    assert PrivateKey(selftest.SIGN_SCALAR).public == STANDARD


def test_the_standards_example_signs():
    assert scheme.sign(selftest.SIGN_SCALAR, selftest.SIGN_E, [selftest.SIGN_NONCE]) == (
        selftest.SIGN_R,
        selftest.SIGN_S,
    )


def test_the_forgery_from_the_public_key_alone_is_refused():
    forged = PublicKey(x=selftest.FORGED_POINT[0], y=selftest.FORGED_POINT[1])
    with pytest.raises(SignatureError) as refused:
        forged.verify(selftest.FORGED_SIGNATURE, selftest.FORGED_MESSAGE)
    assert str(refused.value) == "signature: expected s in 1..n-1, got a number outside"


def test_openssl_vectors_over_e_verify():
    # OpenSSL, test/recipes/30-test_evp_data/evppkey_sm2.txt.
    point = (
        0x393A2AD9E27E43ACAAAB85A19D3B85591E14406157175ADDD37BF77FF0CAF9ED,
        0x37FCF3A8B4F55C038523261FCA6636AFE6A7AFA2A1482A606F5CB3A18B2E2A1E,
    )
    signature = bytes.fromhex(
        "3046022100ab1db64de7c40edbde6651c9b8ebdb804673db836e5d5c7fe15dcf9ed2725037022100eba714451ff69b0bb930b379e19"
        "2e7cd5fa6e3c41c7fbd8303b799ab54a54621"
    )
    e = bytes.fromhex("d7ad397f6ffa5d4f7f11e7217f241607dc30618c236d2c09c1b9ea8fdadee2e8")
    PublicKey(x=point[0], y=point[1]).verify_digest(signature, e)


def test_every_outside_vector(vectors):
    found = vectors("sm2_vectors.json")
    for case in found["verify_e"]:
        key = PublicKey(x=int(case["pub"][:64], 16), y=int(case["pub"][64:], 16))
        key.verify_digest(bytes.fromhex(case["sig_der"]), bytes.fromhex(case["e"]))
    for case in found["forged_must_reject"]:
        key = PublicKey(x=int(case["pub"][:64], 16), y=int(case["pub"][64:], 16))
        with pytest.raises(SignatureError):
            key.verify(bytes.fromhex(case["sig_der"]), bytes.fromhex(case["msg_hex"]))


def test_nonces_follow_rfc_6979_with_hmac_sm3():
    # gmsm, internal/sm2/kat.go: the input serves as the hash itself.
    scalar = 0x1234567890ABCDEF1234567890ABCDEF1234567890ABCDEF1234567890ABCDEF
    e = int.from_bytes(b"sm2 self-test message", "big")
    assert scheme.sign(scalar, e, scheme.nonces(scalar, e, b"")) == (
        0x8C2ABADAD0E0BC5E84A78BE75F480D643832563AEE35AEEA76AA2DBD4F5C6C92,
        0x7F4DDC0F44F511481CF05A8BD6749DEA16152E553D0A8483A801A734C9B3C4BC,
    )


def test_a_rejected_nonce_gives_another():
    first, second = (next(iter(scheme.nonces(1, 2, hedge))) for hedge in (b"", b"\x00"))
    candidates = scheme.nonces(1, 2, b"")
    assert first == next(candidates) != next(candidates)
    assert first != second


def test_sign_and_verify(key):
    signature = key.sign(b"message")
    key.public.verify(signature, b"message")
    with pytest.raises(SignatureError) as refused:
        key.public.verify(signature, b"another message")
    assert str(refused.value) == MISMATCH
    with pytest.raises(SignatureError):
        PrivateKey.generate().public.verify(signature, b"message")


def test_the_hedge_decides_the_bytes(key):
    assert key.sign(b"m", b"1" * 32) == key.sign(b"m", b"1" * 32) != key.sign(b"m", b"2" * 32)
    assert key.sign(b"m") != key.sign(b"m")


def test_another_id_is_another_signature(key):
    signature = key.sign(b"m", ident=b"alice@example.org")
    key.public.verify(signature, b"m", ident=b"alice@example.org")
    with pytest.raises(SignatureError):
        key.public.verify(signature, b"m")
    with pytest.raises(KeystoreError, match="expected an id of at most 8191 bytes, got 8192"):
        key.sign(b"m", ident=bytes(8192))


def test_a_long_message_is_streamed(key):
    state = key.public.hasher()
    for _ in range(4):
        state.update(b"x" * 1000)
    key.public.verify(key.sign_digest(state.digest()), b"x" * 4000)


@pytest.mark.parametrize("size", [0, 31, 33])
def test_a_digest_has_32_bytes(key, size):
    with pytest.raises(SignatureError) as refused:
        key.sign_digest(bytes(size))
    assert str(refused.value) == f"message: expected a digest of 32 bytes, got {size}"


@pytest.mark.parametrize(
    ("r", "s", "message"),
    [
        (0, 1, "expected r in 1..n-1, got a number outside"),
        (curve.N, 1, "expected r in 1..n-1, got a number outside"),
        (1, 0, "expected s in 1..n-1, got a number outside"),
        (1, curve.N, "expected s in 1..n-1, got a number outside"),
        (1, curve.N - 1, "expected r + s other than a multiple of n, got one"),
    ],
)
def test_numbers_out_of_range_are_refused(r, s, message):
    with pytest.raises(SignatureError) as refused:
        STANDARD.verify(scheme.encode_signature(r, s), b"message digest")
    assert str(refused.value) == f"signature: {message}"


def test_s_plus_n_is_refused():
    with pytest.raises(SignatureError):
        STANDARD.verify(scheme.encode_signature(selftest.SIGN_R, selftest.SIGN_S + curve.N), b"message digest")


def _integer(contents: bytes) -> bytes:
    return der.encode(der.INTEGER, contents)


R, S = (number.to_bytes(33, "big") for number in (selftest.SIGN_R, selftest.SIGN_S))
GOOD = STANDARD_SIGNATURE


@pytest.mark.parametrize(
    ("defect", "message"),
    [
        (b"", "expected the DER tag 0x30, got the end"),
        (b"\x31" + GOOD[1:], "expected the DER tag 0x30, got 0x31"),
        (GOOD + b"\x00", "expected the end of the DER value, got 1 more bytes"),
        (GOOD[:-1], f"expected {GOOD[1]} bytes of DER contents, got {GOOD[1] - 1}"),
        (b"\x30\x81" + GOOD[1:], "expected a DER length in its shortest form, got another"),
        (b"\x30\x80" + GOOD[2:] + b"\x00\x00", "expected a DER length in its shortest form, got another"),
        (b"\x30", "expected a DER length in its shortest form, got another"),
        (
            der.encode(der.SEQUENCE, _integer(b"\x00" + R), _integer(S)),
            "expected a DER integer in its shortest form, got leading zeros",
        ),
        (
            der.encode(der.SEQUENCE, _integer(R[1:]), _integer(S)),
            "expected a DER integer that is not negative, got a negative or empty one",
        ),
        (
            der.encode(der.SEQUENCE, _integer(b""), _integer(S)),
            "expected a DER integer that is not negative, got a negative or empty one",
        ),
        (der.encode(der.SEQUENCE, _integer(R)), "expected the DER tag 0x02, got the end"),
        (
            der.encode(der.SEQUENCE, _integer(R), _integer(S), _integer(b"\x01")),
            "expected the end of the DER value, got 3 more bytes",
        ),
    ],
)
def test_other_encodings_than_der_are_refused(defect, message):
    with pytest.raises(SignatureError) as refused:
        STANDARD.verify(defect, b"message digest")
    assert str(refused.value) == f"signature: {message}"


def test_a_fault_while_signing_releases_nothing(key, monkeypatch):
    right = scheme.sign
    monkeypatch.setattr(scheme, "sign", lambda *given: (right(*given)[0], right(*given)[1] ^ 1))
    with pytest.raises(SignatureError):
        key.sign(b"message")


def test_a_private_key_shows_itself_nowhere(key):
    assert repr(key) == f"PrivateKey(keyid='{key.public.keyid}')"
    assert key.octets().hex() not in repr(vars(type(key)))
    with pytest.raises(TypeError, match="a private key is not pickled"):
        pickle.dumps(key)


@pytest.mark.parametrize("scalar", [-1, 0, curve.N - 1, curve.N])
def test_a_scalar_out_of_range_is_refused(scalar):
    with pytest.raises(SignatureError) as refused:
        PrivateKey(scalar)
    assert str(refused.value) == "private key: expected a scalar in 1..n-2, got a number outside"


def test_the_smallest_and_largest_scalars_work():
    assert PrivateKey(1).public.point == curve.G
    largest = PrivateKey(curve.N - 2)
    largest.public.verify(largest.sign(b"m"), b"m")


def test_points_add_up():
    double = curve.add(curve.G, curve.G)
    assert double == curve.multiply(2, curve.G)
    assert curve.add(double, curve.G) == curve.multiply(3, curve.G)
    assert curve.add(curve.G, curve.multiply(curve.N - 1, curve.G)) is None
    assert curve.multiply(3) == curve.multiply(3, curve.G)


@pytest.mark.parametrize("scalar", [0, curve.N])
def test_multiplication_stays_in_the_group(scalar):
    with pytest.raises(ValueError, match=r"scalar outside 1\.\.n-1"):
        curve.multiply(scalar, curve.G)


@pytest.mark.parametrize(
    ("scalar", "r", "s"),
    [(1, 1, (curve.N - 1) // 2), (2, 1, curve.N - 2)],
    ids=["sum at infinity", "sum of equal points"],
)
def test_points_that_whoever_knows_the_scalar_can_reach_are_refused_not_crashed(scalar, r, s):
    with pytest.raises(SignatureError) as refused:
        PrivateKey(scalar).public.verify(scheme.encode_signature(r, s), b"m")
    assert str(refused.value) == MISMATCH


def test_selftest_failures_stop_everything(key, monkeypatch):
    selftest.ensure()
    selftest.ensure.cache_clear()
    monkeypatch.setattr(selftest, "SM3_DIGEST", "00")
    for act in (lambda: key.sign(b"m"), lambda: key.public.verify(b"", b"m"), PrivateKey.generate):
        with pytest.raises(KeystoreError) as failed:
            act()
        assert str(failed.value) == "expected the known answer of the self-test 'sm3', got another"
        assert failed.value.exit_code == 7


def test_selftest_runs_once(monkeypatch):
    selftest.ensure.cache_clear()
    runs = []
    monkeypatch.setattr(selftest, "run", lambda: runs.append(1))
    selftest.ensure()
    selftest.ensure()
    assert runs == [1]
    selftest.ensure.cache_clear()


def test_selftest_notices_a_verifier_that_accepts_all(monkeypatch):
    monkeypatch.setattr(scheme, "verify", lambda *given: None)
    with pytest.raises(KeystoreError, match="self-test 'sm2 other message'"):
        selftest.run()


def test_a_key_is_restored_without_computing_its_public_half(key):
    scalar = int.from_bytes(key.octets(), "big")
    restored = PrivateKey.restore(scalar, key.public)
    key.public.verify(restored.sign(b"message"), b"message")
    assert restored.pem() == key.pem()
    with pytest.raises(SignatureError):
        PrivateKey.restore(scalar, PrivateKey.generate().public).sign(b"message")
    with pytest.raises(SignatureError, match=r"expected a scalar in 1\.\.n-2, got a number outside"):
        PrivateKey.restore(0, key.public)
