"""Keys as SPKI and PKCS#8, DER and PEM: named curves and uncompressed points only, and Ed25519.

Source: RFC 5280 (SPKI), RFC 5958 and RFC 5915 (private keys), RFC 7468 (PEM), GM/T 0006-2012 (SM2's identifiers),
RFC 5480 (P-256), RFC 8410 (Ed25519).
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from keystore import curve, der
from keystore.curve import Point
from keystore.errors import SignatureError

EC_PUBLIC_KEY = bytes.fromhex("2a8648ce3d0201")  # 1.2.840.10045.2.1
SM2_CURVE = bytes.fromhex("2a811ccf5501822d")  # 1.2.156.10197.1.301
P256_CURVE = bytes.fromhex("2a8648ce3d030107")  # 1.2.840.10045.3.1.7
ED25519 = bytes.fromhex("2b6570")  # 1.3.101.112


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedCurve:
    """A curve whose coordinates and scalars have 32 bytes, with the words that errors tell about it."""

    oid: bytes
    told: str
    genpkey: str

    def algorithm(self) -> bytes:
        """Return the AlgorithmIdentifier of a key on this curve."""
        return der.encode(
            der.SEQUENCE,
            der.encode(der.OBJECT_IDENTIFIER, EC_PUBLIC_KEY),
            der.encode(der.OBJECT_IDENTIFIER, self.oid),
        )


SM2 = NamedCurve(oid=SM2_CURVE, told="sm2 (1.2.156.10197.1.301)", genpkey="-algorithm SM2")
P256 = NamedCurve(
    oid=P256_CURVE,
    told="P-256 (1.2.840.10045.3.1.7)",
    genpkey="-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
)
ALGORITHM = SM2.algorithm()
ED25519_ALGORITHM = der.encode(der.SEQUENCE, der.encode(der.OBJECT_IDENTIFIER, ED25519))
PUBLIC_LABEL = "PUBLIC KEY"
PRIVATE_LABEL = "PRIVATE KEY"
_PARAMETERS = 0xA0
_PUBLIC = 0xA1
_PEM = re.compile(r"\s*-----BEGIN ([A-Z0-9 ]+)-----\r?\n([A-Za-z0-9+/=\r\n]+)-----END ([A-Z0-9 ]+)-----\s*")


def encode_point(point: Point) -> bytes:
    """Return the uncompressed form, 65 bytes."""
    return b"\x04" + point[0].to_bytes(curve.SIZE, "big") + point[1].to_bytes(curve.SIZE, "big")


def decode_point(data: bytes, place: str) -> Point:
    """Return the coordinates of an uncompressed form; whether they are on the curve is the key's own check."""
    if len(data) != 1 + 2 * curve.SIZE or data[0] != 4:
        raise SignatureError(
            f"expected an uncompressed point (04 and 64 bytes), got {len(data)} bytes",
            place=place,
            hint="convert it: openssl pkey -ec_conv_form uncompressed",
        )
    return int.from_bytes(data[1 : 1 + curve.SIZE], "big"), int.from_bytes(data[1 + curve.SIZE :], "big")


def encode_public(point: Point, named: NamedCurve = SM2) -> bytes:
    """Return the SubjectPublicKeyInfo in DER, 91 bytes."""
    return der.encode(der.SEQUENCE, named.algorithm(), der.encode(der.BIT_STRING, b"\x00", encode_point(point)))


def decode_public(data: bytes, place: str = "public key", named: NamedCurve = SM2) -> Point:
    """Return the coordinates of a SubjectPublicKeyInfo in DER; whether they are on the curve is not checked.

    Raises: SignatureError for any other algorithm, curve, form of point or encoding.
    """
    outer = der.Reader(data, place)
    body = outer.take_reader(der.SEQUENCE)
    outer.end()
    _take_algorithm(body, place, named)
    point = _take_bit_string(body, place)
    body.end()
    return decode_point(point, place)


def encode_private(scalar: int, point: Point, named: NamedCurve = SM2) -> bytes:
    """Return the PrivateKeyInfo (PKCS#8) in DER, with the public key inside as OpenSSL writes it."""
    public = der.encode(_PUBLIC, der.encode(der.BIT_STRING, b"\x00", encode_point(point)))
    octets = der.encode(der.OCTET_STRING, scalar.to_bytes(curve.SIZE, "big"))
    inner = der.encode(der.SEQUENCE, der.encode_integer(1), octets, public)
    wrapper = der.encode(der.OCTET_STRING, inner)
    return der.encode(der.SEQUENCE, der.encode_integer(0), named.algorithm(), wrapper)


def decode_private(data: bytes, place: str = "private key", named: NamedCurve = SM2) -> tuple[int, Point | None]:
    """Return the scalar of a PKCS#8 key and the public point, if any, beside it; they are not compared.

    Raises: SignatureError for any other algorithm, curve, version or encoding.
    """
    body = _open_private(data, place)
    _take_algorithm(body, place, named)
    wrapper = body.take_reader(der.OCTET_STRING)
    body.end()
    inner = wrapper.take_reader(der.SEQUENCE)
    wrapper.end()
    _take_version(inner, 1, place)
    scalar = inner.take(der.OCTET_STRING)
    if len(scalar) != curve.SIZE:
        raise SignatureError(f"expected a scalar of 32 bytes, got {len(scalar)}", place=place)
    if inner.next_is(_PARAMETERS):
        _expect_curve(inner.take_reader(_PARAMETERS), place, named)
    point = None
    if inner.next_is(_PUBLIC):
        tagged = inner.take_reader(_PUBLIC)
        point = decode_point(_take_bit_string(tagged, place), place)
        tagged.end()
    inner.end()
    return int.from_bytes(scalar, "big"), point


def encode_ed25519_public(raw: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of an Ed25519 key in DER, 44 bytes."""
    return der.encode(der.SEQUENCE, ED25519_ALGORITHM, der.encode(der.BIT_STRING, b"\x00", raw))


def decode_ed25519_public(data: bytes, place: str = "public key") -> bytes:
    """Return the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo.

    Raises: SignatureError for any other algorithm, size or encoding.
    """
    outer = der.Reader(data, place)
    body = outer.take_reader(der.SEQUENCE)
    outer.end()
    _expect_ed25519(body, place)
    raw = _take_bit_string(body, place)
    body.end()
    return _expect_size(raw, place)


def encode_ed25519_private(seed: bytes) -> bytes:
    """Return the PrivateKeyInfo (PKCS#8) of an Ed25519 key in DER, without its public key, as OpenSSL writes it."""
    wrapper = der.encode(der.OCTET_STRING, der.encode(der.OCTET_STRING, seed))
    return der.encode(der.SEQUENCE, der.encode_integer(0), ED25519_ALGORITHM, wrapper)


def decode_ed25519_private(data: bytes, place: str = "private key") -> bytes:
    """Return the seed of an Ed25519 key in PKCS#8.

    Raises: SignatureError for any other algorithm, version, size or encoding.
    """
    body = _open_private(data, place)
    _expect_ed25519(body, place)
    wrapper = body.take_reader(der.OCTET_STRING)
    body.end()
    seed = wrapper.take(der.OCTET_STRING)
    wrapper.end()
    return _expect_size(seed, place)


def public_algorithm(data: bytes, place: str = "public key") -> bytes:
    """Return the AlgorithmIdentifier of a SubjectPublicKeyInfo; the rest is not looked at."""
    return der.Reader(data, place).take_reader(der.SEQUENCE).take_element(der.SEQUENCE)


def private_algorithm(data: bytes, place: str = "private key") -> bytes:
    """Return the AlgorithmIdentifier of a PKCS#8 key; the rest is not looked at."""
    return _open_private(data, place).take_element(der.SEQUENCE)


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


def _open_private(data: bytes, place: str) -> der.Reader:
    outer = der.Reader(data, place)
    body = outer.take_reader(der.SEQUENCE)
    outer.end()
    _take_version(body, 0, place)
    return body


def _take_algorithm(reader: der.Reader, place: str, named: NamedCurve) -> None:
    algorithm = reader.take_reader(der.SEQUENCE)
    if algorithm.take(der.OBJECT_IDENTIFIER) != EC_PUBLIC_KEY:
        raise SignatureError("expected an elliptic curve key (1.2.840.10045.2.1), got another kind", place=place)
    _expect_curve(algorithm, place, named)


def _expect_curve(reader: der.Reader, place: str, named: NamedCurve) -> None:
    if not reader.next_is(der.OBJECT_IDENTIFIER) or reader.take(der.OBJECT_IDENTIFIER) != named.oid:
        raise SignatureError(
            f"expected the named curve {named.told}, got another curve or explicit parameters",
            place=place,
            hint=f"make a key on the named curve: openssl genpkey {named.genpkey}",
        )
    reader.end()


def _expect_ed25519(reader: der.Reader, place: str) -> None:
    if reader.take_element(der.SEQUENCE) != ED25519_ALGORITHM:
        raise SignatureError("expected an Ed25519 key (1.3.101.112), got another kind", place=place)


def _expect_size(octets: bytes, place: str) -> bytes:
    if len(octets) != curve.SIZE:
        raise SignatureError(f"expected 32 bytes of an Ed25519 key, got {len(octets)}", place=place)
    return octets


def _take_bit_string(reader: der.Reader, place: str) -> bytes:
    bits = reader.take(der.BIT_STRING)
    if bits[:1] != b"\x00":
        raise SignatureError("expected a bit string of whole bytes, got another", place=place)
    return bits[1:]
