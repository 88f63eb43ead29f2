"""SM2 keys as SPKI and PKCS#8, DER and PEM: named curve and uncompressed points only.

Source: RFC 5280 (SPKI), RFC 5958 and RFC 5915 (private keys), RFC 7468 (PEM), GM/T 0006-2012 (identifiers).
"""

from __future__ import annotations

import base64
import binascii
import re

from keystore import curve, der
from keystore.curve import Point
from keystore.errors import SignatureError

EC_PUBLIC_KEY = bytes.fromhex("2a8648ce3d0201")  # 1.2.840.10045.2.1
SM2_CURVE = bytes.fromhex("2a811ccf5501822d")  # 1.2.156.10197.1.301
ALGORITHM = der.encode(
    der.SEQUENCE,
    der.encode(der.OBJECT_IDENTIFIER, EC_PUBLIC_KEY),
    der.encode(der.OBJECT_IDENTIFIER, SM2_CURVE),
)
PUBLIC_LABEL = "PUBLIC KEY"
PRIVATE_LABEL = "PRIVATE KEY"
_PARAMETERS = 0xA0
_PUBLIC = 0xA1
_PEM = re.compile(r"\s*-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END ([A-Z0-9 ]+)-----\s*")


def encode_point(point: Point) -> bytes:
    """Return the uncompressed form, 65 bytes."""
    return b"\x04" + point[0].to_bytes(curve.SIZE, "big") + point[1].to_bytes(curve.SIZE, "big")


def decode_point(data: bytes, place: str) -> Point:
    """Return the point of an uncompressed form, on the curve and not infinity."""
    if len(data) != 1 + 2 * curve.SIZE or data[0] != 4:
        raise SignatureError(
            f"expected an uncompressed point (04 and 64 bytes), got {len(data)} bytes",
            place=place,
            hint="convert it: openssl pkey -ec_conv_form uncompressed",
        )
    point = int.from_bytes(data[1 : 1 + curve.SIZE], "big"), int.from_bytes(data[1 + curve.SIZE :], "big")
    if not curve.is_on_curve(point):
        raise SignatureError("expected a point on the SM2 curve, got one that is not", place=place)
    return point


def encode_public(point: Point) -> bytes:
    """Return the SubjectPublicKeyInfo in DER, 91 bytes."""
    return der.encode(der.SEQUENCE, ALGORITHM, der.encode(der.BIT_STRING, b"\x00", encode_point(point)))


def decode_public(data: bytes, place: str = "public key") -> Point:
    """Return the point of a SubjectPublicKeyInfo in DER.

    Raises: SignatureError for any other algorithm, curve, form of point or encoding.
    """
    outer = der.Reader(data, place)
    body = outer.take_reader(der.SEQUENCE)
    outer.end()
    _take_algorithm(body, place)
    point = _take_bit_string(body, place)
    body.end()
    return decode_point(point, place)


def encode_private(scalar: int, point: Point) -> bytes:
    """Return the PrivateKeyInfo (PKCS#8) in DER, with the public key inside as OpenSSL writes it."""
    public = der.encode(_PUBLIC, der.encode(der.BIT_STRING, b"\x00", encode_point(point)))
    octets = der.encode(der.OCTET_STRING, scalar.to_bytes(curve.SIZE, "big"))
    inner = der.encode(der.SEQUENCE, der.encode_integer(1), octets, public)
    return der.encode(der.SEQUENCE, der.encode_integer(0), ALGORITHM, der.encode(der.OCTET_STRING, inner))


def decode_private(data: bytes, place: str = "private key") -> tuple[int, Point | None]:
    """Return the scalar of a PKCS#8 key and the public point, if any, beside it; they are not compared.

    Raises: SignatureError for any other algorithm, curve, version or encoding.
    """
    outer = der.Reader(data, place)
    body = outer.take_reader(der.SEQUENCE)
    outer.end()
    _take_version(body, 0, place)
    _take_algorithm(body, place)
    wrapper = body.take_reader(der.OCTET_STRING)
    body.end()
    inner = wrapper.take_reader(der.SEQUENCE)
    wrapper.end()
    _take_version(inner, 1, place)
    scalar = inner.take(der.OCTET_STRING)
    if len(scalar) != curve.SIZE:
        raise SignatureError(f"expected a scalar of 32 bytes, got {len(scalar)}", place=place)
    if inner.next_is(_PARAMETERS):
        _expect_curve(inner.take_reader(_PARAMETERS), place)
    point = None
    if inner.next_is(_PUBLIC):
        tagged = inner.take_reader(_PUBLIC)
        point = decode_point(_take_bit_string(tagged, place), place)
        tagged.end()
    inner.end()
    return int.from_bytes(scalar, "big"), point


def encode_pem(label: str, data: bytes) -> str:
    """Return PEM text with lines of 64 characters and a final newline."""
    text = base64.b64encode(data).decode("ascii")
    lines = [text[start : start + 64] for start in range(0, len(text), 64)]
    return "\n".join((f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""))


def decode_pem(text: str | bytes, label: str) -> bytes:
    """Return the DER inside exactly one PEM block with this label, and nothing but blanks around it."""
    place = label.lower()
    try:
        found = _PEM.fullmatch(text if isinstance(text, str) else text.decode("ascii"))
    except UnicodeDecodeError:
        found = None
    if found is None:
        raise SignatureError(f"expected one PEM block '{label}', got something else", place=place)
    if found[1] != label or found[3] != label:
        raise SignatureError(
            f"expected one PEM block '{label}', got '{found[1]}'",
            place=place,
            hint="convert it: openssl pkcs8 -topk8 -nocrypt" if label == PRIVATE_LABEL else None,
        )
    try:
        return base64.b64decode("".join(found[2].split()), validate=True)
    except binascii.Error:
        raise SignatureError("expected base64 in the PEM block, got something else", place=place) from None


def _take_version(reader: der.Reader, expected: int, place: str) -> None:
    version = reader.take_integer()
    if version != expected:
        raise SignatureError(f"expected version {expected}, got another", place=place)


def _take_algorithm(reader: der.Reader, place: str) -> None:
    algorithm = reader.take_reader(der.SEQUENCE)
    if algorithm.take(der.OBJECT_IDENTIFIER) != EC_PUBLIC_KEY:
        raise SignatureError("expected an elliptic curve key (1.2.840.10045.2.1), got another kind", place=place)
    _expect_curve(algorithm, place)


def _expect_curve(reader: der.Reader, place: str) -> None:
    if not reader.next_is(der.OBJECT_IDENTIFIER) or reader.take(der.OBJECT_IDENTIFIER) != SM2_CURVE:
        raise SignatureError(
            "expected the named curve sm2 (1.2.156.10197.1.301), got another curve or explicit parameters",
            place=place,
            hint="make a key on the named curve: openssl genpkey -algorithm SM2",
        )
    reader.end()


def _take_bit_string(reader: der.Reader, place: str) -> bytes:
    bits = reader.take(der.BIT_STRING)
    if bits[:1] != b"\x00":
        raise SignatureError("expected a bit string of whole bytes, got another", place=place)
    return bits[1:]
