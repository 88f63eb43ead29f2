import pytest

from keystore import curve, der, encoding
from keystore.errors import SignatureError
from keystore.sm2 import PrivateKey, PublicKey

ALGORITHM = encoding.ALGORITHM
P256 = der.encode(
    der.SEQUENCE,
    der.encode(der.OBJECT_IDENTIFIER, encoding.EC_PUBLIC_KEY),
    der.encode(der.OBJECT_IDENTIFIER, bytes.fromhex("2a8648ce3d030107")),
)
RSA = der.encode(der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, bytes.fromhex("2a864886f70d010101")), der.encode(5))
EXPLICIT = der.encode(
    der.SEQUENCE,
    der.encode(der.OBJECT_IDENTIFIER, encoding.EC_PUBLIC_KEY),
    der.encode(der.SEQUENCE, der.encode_integer(1)),
)
POINT = encoding.encode_point(curve.G)
UNCOMPRESSED = "expected an uncompressed point (04 and 64 bytes), got {} bytes"


def _spki(algorithm: bytes = ALGORITHM, point: bytes = POINT, unused: bytes = b"\x00") -> bytes:
    return der.encode(der.SEQUENCE, algorithm, der.encode(der.BIT_STRING, unused, point))


def _pkcs8(*, version: int = 0, inner: int = 1, scalar: bytes = bytes(31) + b"\x01", tail: bytes = b"") -> str:
    octets = der.encode(der.OCTET_STRING, scalar)
    body = der.encode(der.SEQUENCE, der.encode_integer(inner), octets, tail)
    return encoding.encode_pem(
        "PRIVATE KEY",
        der.encode(der.SEQUENCE, der.encode_integer(version), ALGORITHM, der.encode(der.OCTET_STRING, body)),
    )


def _tagged_point(point: bytes) -> bytes:
    return der.encode(0xA1, der.encode(der.BIT_STRING, b"\x00", point))


def test_public_keys_come_and_go(key):
    assert PublicKey.from_pem(key.public.pem()) == key.public
    assert PublicKey.from_pem(key.public.pem().replace("\n", "\r\n").encode()) == key.public
    assert PublicKey.from_der(key.public.der()) == key.public
    assert len(key.public.der()) == 91


def test_names_of_a_key_are_fixed():
    # The base point as a public key: the key of scalar 1.
    public = PrivateKey(1).public
    assert public.keyid == "bfdbc4494a58c830a18517957ff1b3d35decea9e9474b0ff3c91bb71aeb4df1f"
    assert public.fingerprint() == "169d 8f42 e18d 9bfa dbdf 445f 48e0 3573"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected the DER tag 0x30, got the end"),
        (_spki() + b"\x00", "expected the end of the DER value, got 1 more bytes"),
        (_spki(RSA), "expected an elliptic curve key (1.2.840.10045.2.1), got another kind"),
        (
            _spki(P256),
            "expected the named curve sm2 (1.2.156.10197.1.301), got another curve or explicit parameters",
        ),
        (
            _spki(EXPLICIT),
            "expected the named curve sm2 (1.2.156.10197.1.301), got another curve or explicit parameters",
        ),
        (_spki(point=b"\x02" + POINT[1:33]), UNCOMPRESSED.format(33)),
        (_spki(point=b"\x06" + POINT[1:]), UNCOMPRESSED.format(65)),
        (_spki(point=b"\x00"), UNCOMPRESSED.format(1)),
        (_spki(point=POINT + b"\x00"), UNCOMPRESSED.format(66)),
        (_spki(point=POINT[:-1] + b"\xff"), "expected a point on the SM2 curve, got one that is not"),
        (_spki(point=b"\x04" + bytes(64)), "expected a point on the SM2 curve, got one that is not"),
        (_spki(unused=b"\x01"), "expected a bit string of whole bytes, got another"),
    ],
)
def test_other_public_keys_are_refused(data, message):
    with pytest.raises(SignatureError) as refused:
        PublicKey.from_der(data)
    assert str(refused.value) == f"public key: {message}"


def test_coordinates_beyond_the_field_are_refused():
    with pytest.raises(SignatureError):
        PublicKey(x=curve.G[0] + curve.P, y=curve.G[1])


def test_a_point_that_starts_with_04_stays_whole():
    key = PrivateKey(11)
    assert key.public.x >> 248 == 4
    PublicKey.from_pem(key.public.pem()).verify(key.sign(b"m"), b"m")


GOOD_PEM = encoding.encode_pem("PUBLIC KEY", _spki())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected one PEM block 'PUBLIC KEY', got something else"),
        ("钥", "expected one PEM block 'PUBLIC KEY', got something else"),
        ("钥".encode(), "expected one PEM block 'PUBLIC KEY', got something else"),
        (GOOD_PEM + GOOD_PEM, "expected one PEM block 'PUBLIC KEY', got something else"),
        ("comment\n" + GOOD_PEM, "expected one PEM block 'PUBLIC KEY', got something else"),
        (GOOD_PEM.replace("PUBLIC", "PRIVATE"), "expected one PEM block 'PUBLIC KEY', got 'PRIVATE KEY'"),
        (GOOD_PEM.replace("MFkw", "MFk"), "expected base64 in the PEM block, got something else"),
    ],
)
def test_other_pem_is_refused(text, message):
    with pytest.raises(SignatureError) as refused:
        PublicKey.from_pem(text)
    assert str(refused.value) == f"public key: {message}"


def test_private_keys_come_and_go(key):
    again = PrivateKey.from_pem(key.pem())
    assert again.octets() == key.octets()
    assert again.public == key.public


def test_a_private_key_may_lack_its_public_key_or_name_the_curve_twice():
    assert PrivateKey.from_pem(_pkcs8()).public.point == curve.G
    named = der.encode(0xA0, der.encode(der.OBJECT_IDENTIFIER, encoding.SM2_CURVE))
    assert PrivateKey.from_pem(_pkcs8(tail=named + _tagged_point(POINT))).public.point == curve.G


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (_pkcs8(version=1), "expected version 0, got another"),
        (_pkcs8(inner=2), "expected version 1, got another"),
        (_pkcs8(scalar=b"\x01"), "expected a scalar of 32 bytes, got 1"),
        (_pkcs8(scalar=bytes(32)), "expected a scalar in 1..n-2, got a number outside"),
        (_pkcs8(scalar=b"\xff" * 32), "expected a scalar in 1..n-2, got a number outside"),
        (_pkcs8(tail=b"\x05\x00"), "expected the end of the DER value, got 2 more bytes"),
        (
            _pkcs8(tail=_tagged_point(encoding.encode_point(curve.multiply(2, curve.G)))),
            "expected the public key of the scalar, got another",
        ),
        (
            _pkcs8().replace("PRIVATE", "EC PRIVATE"),
            "expected one PEM block 'PRIVATE KEY', got 'EC PRIVATE KEY'",
        ),
    ],
)
def test_other_private_keys_are_refused(text, message):
    with pytest.raises(SignatureError) as refused:
        PrivateKey.from_pem(text)
    assert str(refused.value) == f"private key: {message}"
