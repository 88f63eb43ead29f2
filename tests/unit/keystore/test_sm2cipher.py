"""SM2 encryption: a known answer, the openssl program both ways, and what is refused."""

import pytest
from gmssl.sm2 import CryptSM2

from keystore import curve, der, sm2cipher
from keystore.errors import KeystoreError, SignatureError
from keystore.sm2 import PrivateKey

# GM/T 0003.5-2012, annex C: the example over the recommended curve.
SCALAR = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
NONCE = 0x59276E27D506861A16680F3AD9C02DCCEF3CC1FA3CDBE4CE6D54B80DEAC1BC21
MESSAGE = b"encryption standard"
POINT = (
    0x04EBFC718E8D1798620432268E77FEB6415E2EDE0E073C0F4F640ECD2E149A73,
    0xE858F9D81E5430A57B36DAAB8F950A3C64E6EE6A63094D99283AFF767E124DF0,
)
CHECK = bytes.fromhex("59983c18f809e262923c53aec295d30383b54e39d609d160afcb1908d0bd8766")
BODY = bytes.fromhex("21886ca989ca9c7d58087307ca93092d651efa")


def _ciphertext(point=POINT, check=CHECK, body=BODY):
    return der.encode(
        der.SEQUENCE,
        der.encode_integer(point[0]),
        der.encode_integer(point[1]),
        der.encode(der.OCTET_STRING, check),
        der.encode(der.OCTET_STRING, body),
    )


def _scalar(key):
    return int.from_bytes(key.octets(), "big")


def test_the_known_answer_is_given():
    assert sm2cipher.encrypt(PrivateKey(SCALAR).public, MESSAGE, nonce=NONCE) == _ciphertext()
    assert sm2cipher.decrypt(SCALAR, _ciphertext()) == MESSAGE


def test_the_vectors_from_outside_are_given(vectors):
    for vector in vectors("sm2_vectors.json")["encrypt"]:
        key = PrivateKey(int(vector["d"], 16))
        made = sm2cipher.encrypt(key.public, vector["msg_ascii"].encode(), nonce=int(vector["k"], 16))
        octets = bytes.fromhex(vector["c1c3c2_hex"])
        point = int.from_bytes(octets[:32], "big"), int.from_bytes(octets[32:64], "big")
        assert made == _ciphertext(point, octets[64:96], octets[96:])


@pytest.mark.parametrize("size", [1, 31, 32, 33, 1000, 70_000])
def test_openssl_opens_ours_and_we_its(key, openssl, tmp_path, size):
    message = bytes(range(1, 251)) * (size // 250 + 1)
    message = message[:size]
    files = {name: tmp_path / name for name in ("secret", "public", "plain", "sealed")}
    files["secret"].write_text(key.pem())
    files["public"].write_text(key.public.pem())
    files["sealed"].write_bytes(sm2cipher.encrypt(key.public, message))
    assert openssl("pkeyutl", "-decrypt", "-inkey", files["secret"], "-in", files["sealed"]) == message
    files["plain"].write_bytes(message)
    sealed = openssl("pkeyutl", "-encrypt", "-pubin", "-inkey", files["public"], "-in", files["plain"])
    assert sm2cipher.decrypt(_scalar(key), sealed) == message


@pytest.mark.parametrize(
    ("ciphertext", "message"),
    [
        (b"", "expected the DER tag 0x30, got the end"),
        (_ciphertext() + b"x", "expected the end of the DER value, got 1 more bytes"),
        (_ciphertext((1, 1)), "expected a point on the SM2 curve, got one that is not"),
        (_ciphertext((POINT[0] + curve.P, POINT[1])), "expected a point on the SM2 curve, got one that is not"),
        (_ciphertext(check=CHECK[1:]), "expected a check of 32 bytes and 1 to 1048576 bytes, got other sizes"),
        (_ciphertext(body=b""), "expected a check of 32 bytes and 1 to 1048576 bytes, got other sizes"),
        (_ciphertext(body=BODY + b"x"), "expected a ciphertext for this key, got another, or it was altered"),
        (_ciphertext(check=bytes(32)), "expected a ciphertext for this key, got another, or it was altered"),
        (
            _ciphertext((POINT[0], curve.P - POINT[1])),
            "expected a ciphertext for this key, got another, or it was altered",
        ),
    ],
)
def test_what_is_no_ciphertext_of_ours_is_refused(ciphertext, message):
    with pytest.raises(SignatureError) as refused:
        sm2cipher.decrypt(SCALAR, ciphertext)
    assert str(refused.value) == f"ciphertext: {message}"


def test_nothing_and_too_much_are_not_encrypted(key):
    for size in (0, sm2cipher.LIMIT + 1):
        with pytest.raises(KeystoreError) as refused:
            sm2cipher.encrypt(key.public, bytes(size))
        assert str(refused.value) == f"plaintext: expected 1 to 1048576 bytes to encrypt with SM2, got {size}"


def test_gmssl_opens_ours_and_we_its(key):
    """The library's C1 C3 C2 form: the same numbers without DER."""
    x, y = key.public.point
    theirs = CryptSM2(private_key=key.octets().hex(), public_key=f"{x:064x}{y:064x}", mode=1)
    reader = der.Reader(sm2cipher.encrypt(key.public, MESSAGE), "c").take_reader(der.SEQUENCE)
    point = reader.take_integer(), reader.take_integer()
    flat = bytes.fromhex(f"{point[0]:064x}{point[1]:064x}") + reader.take(4) + reader.take(4)
    assert theirs.decrypt(flat) == MESSAGE
    made = theirs.encrypt(MESSAGE)
    point = int.from_bytes(made[:32], "big"), int.from_bytes(made[32:64], "big")
    assert sm2cipher.decrypt(_scalar(key), _ciphertext(point, made[64:96], made[96:])) == MESSAGE
