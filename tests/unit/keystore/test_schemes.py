"""Ed25519 and ECDSA P-256: outside vectors, both ways with openssl, and what is refused."""

import pickle

import pytest

from keystore import der, ecdsa, ed25519, encoding, p256, scheme, selftest, sm2
from keystore.errors import KeystoreError, SignatureError
from keystore.file import FileKeystore
from keystore.public import SCHEMES, read_public

MISMATCH = "signature: expected a signature of this message by this key, got one that does not match"
KINDS = {"ed25519": ed25519, "ecdsa-p256": p256}
GENPKEY = {
    "ed25519": ("-algorithm", "ED25519"),
    "ecdsa-p256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
}


@pytest.mark.parametrize(
    ("seed", "public", "message", "signature"),
    [
        # RFC 8032, clause 7.1, TEST 1 and TEST 3.
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
            "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ],
)
def test_ed25519_signs_as_rfc_8032_says(seed, public, message, signature):
    key = ed25519.PrivateKey(bytes.fromhex(seed))
    assert key.public.raw.hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature


def test_p256_signs_as_rfc_6979_says():
    # RFC 6979, annex A.2.5, SHA-256.
    key = p256.PrivateKey(0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721)
    assert key.sign(b"test") == scheme.encode_signature(
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    )
    assert key.sign(b"sample") == selftest.P256_SIGNATURE


@pytest.mark.parametrize("name", KINDS)
def test_keys_come_and_go(name):
    key = KINDS[name].PrivateKey.generate()
    public = read_public(key.public.pem())
    assert public == key.public
    assert public.keyid == key.keyid
    assert KINDS[name].PrivateKey.from_pem(key.pem()).octets() == key.octets()
    assert repr(key) == f"PrivateKey(keyid='{key.keyid}')"
    with pytest.raises(TypeError, match="a private key is not pickled"):
        pickle.dumps(key)
    with pytest.raises(SignatureError) as refused:
        public.verify(key.sign(b"m"), b"other")
    assert str(refused.value) == MISMATCH


@pytest.mark.parametrize("name", KINDS)
def test_openssl_and_we_agree(name, openssl, tmp_path):
    (tmp_path / "m").write_bytes(b"message")
    openssl("genpkey", *GENPKEY[name], "-out", tmp_path / "sk.pem")
    key = KINDS[name].PrivateKey.from_pem((tmp_path / "sk.pem").read_bytes())
    pub = openssl("pkey", "-in", tmp_path / "sk.pem", "-pubout")
    assert key.public.pem().encode() == pub
    assert key.pem().encode() == (tmp_path / "sk.pem").read_bytes()
    (tmp_path / "pub.pem").write_bytes(pub)
    rawin = ("-rawin",) if name == "ed25519" else ("-rawin", "-digest", "sha256")
    theirs = openssl("pkeyutl", "-sign", *rawin, "-inkey", tmp_path / "sk.pem", "-in", tmp_path / "m")
    read_public(pub).verify(theirs, b"message")
    (tmp_path / "sig").write_bytes(key.sign(b"message"))
    verify = ("pkeyutl", "-verify", *rawin, "-pubin", "-inkey", tmp_path / "pub.pem")
    openssl(*verify, "-sigfile", tmp_path / "sig", "-in", tmp_path / "m")


def test_the_key_names_its_scheme():
    found = [kind.PrivateKey.generate().public.scheme for kind in (sm2, ed25519, p256)]
    assert tuple(found) == SCHEMES == ("sm2-sm3", "ed25519", "ecdsa-p256-sha256")


@pytest.mark.parametrize("arguments", [("-algorithm", "RSA"), ("-algorithm", "ED448"), ("-algorithm", "X25519")])
def test_keys_of_other_algorithms_are_refused(arguments, openssl, tmp_path):
    openssl("genpkey", *arguments, "-out", tmp_path / "sk.pem")
    with pytest.raises(SignatureError) as refused:
        read_public(openssl("pkey", "-in", tmp_path / "sk.pem", "-pubout"))
    assert str(refused.value) == (
        "public key: expected an SM2, Ed25519 or ECDSA P-256 key, got another algorithm, curve or explicit parameters"
    )


@pytest.mark.parametrize(
    "raw",
    [
        "01" + "00" * 31,
        "00" * 32,
        "ec" + "ff" * 30 + "7f",
        "ee" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
        "02" + "00" * 31,
    ],
    ids=["order 1", "order 4", "order 2", "y over p", "order 8", "order 8, sign", "off the curve"],
)
def test_weak_ed25519_keys_are_refused(raw):
    pem = encoding.encode_pem("PUBLIC KEY", encoding.encode_ed25519_public(bytes.fromhex(raw)))
    with pytest.raises(SignatureError) as refused:
        read_public(pem)
    assert str(refused.value) == (
        "public key: expected a point on the Ed25519 curve of large order, got one that is not"
    )


def test_a_p256_point_off_the_curve_is_refused():
    with pytest.raises(SignatureError) as refused:
        p256.PublicKey(x=1, y=1)
    assert str(refused.value) == "public key: expected a point on the curve P-256, got one that is not"


def test_malleable_signatures_are_refused_but_for_the_other_half_of_s():
    key = p256.PrivateKey(selftest.P256_SCALAR)
    r, s = scheme.decode_signature(selftest.P256_SIGNATURE)
    key.public.verify(scheme.encode_signature(r, ecdsa.N - s), b"sample")
    padded = der.encode(
        der.SEQUENCE, der.encode(der.INTEGER, b"\x00\x00" + r.to_bytes(32, "big")), der.encode_integer(s)
    )
    for defect, message in (
        (padded, "signature: expected a DER integer in its shortest form, got leading zeros"),
        (scheme.encode_signature(r, s + ecdsa.N), "signature: expected s in 1..n-1, got a number outside"),
        (scheme.encode_signature(0, s), "signature: expected r in 1..n-1, got a number outside"),
        (selftest.P256_SIGNATURE + b"\x00", "signature: expected the end of the DER value, got 1 more bytes"),
    ):
        with pytest.raises(SignatureError) as refused:
            key.public.verify(defect, b"sample")
        assert str(refused.value) == message
    edwards = ed25519.PublicKey(raw=selftest.ED25519_PUBLIC)
    good = selftest.ED25519_SIGNATURE
    more = (int.from_bytes(good[32:], "little") + 2**252 + 27742317777372353535851937790883648493).to_bytes(
        32, "little"
    )
    for defect, message in (
        (good[:32] + more, "signature: expected S in 0..L-1, got a number outside"),
        (good + b"\x00", "signature: expected a signature of 64 bytes, got 65"),
    ):
        with pytest.raises(SignatureError) as refused:
            edwards.verify(defect, selftest.ED25519_MESSAGE)
        assert str(refused.value) == message


@pytest.mark.parametrize(
    ("constant", "act", "failed"),
    [
        ("ED25519_SIGNATURE", lambda: ed25519.PrivateKey(bytes(32)).sign(b""), "ed25519 sign"),
        ("P256_SIGNATURE", lambda: p256.PrivateKey(1).sign(b""), "ecdsa-p256 verify"),
    ],
)
def test_selftest_failures_stop_the_scheme(constant, act, failed, monkeypatch):
    for ensure in (selftest.ensure_ed25519, selftest.ensure_p256, selftest.ensure_p256_signing):
        ensure.cache_clear()
    monkeypatch.setattr(selftest, constant, bytes(getattr(selftest, constant)[:-1]) + b"\x01")
    with pytest.raises(KeystoreError) as refused:
        act()
    assert str(refused.value) == f"expected the known answer of the self-test '{failed}', got another"


@pytest.mark.parametrize("name", KINDS)
def test_a_keystore_holds_them(name, store_path, passphrase):
    store = FileKeystore.open(store_path)
    public = store.generate("other", passphrase, name)
    signer = FileKeystore.open(store_path).signer("other", passphrase)
    assert signer.sign(b"m") == signer.sign(b"m")
    store.public("other").verify(signer.sign(b"m"), b"m")
    assert store.public("other") == public
    key = KINDS[name].PrivateKey.generate()
    assert store.import_pem("taken", passphrase, key.pem()) == key.public
    assert store.signer("taken", passphrase).sign(b"m") == key.sign(b"m")
