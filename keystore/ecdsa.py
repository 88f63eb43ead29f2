"""ECDSA over P-256 with SHA-256 on integers and octets, by the cryptography library: no keys, no files, no self-test.

Source: FIPS 186-5, clause 6; SEC 1 (encoding of signatures); RFC 6979 (nonces).
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from keystore import scheme
from keystore.curve import Point
from keystore.errors import KeystoreError

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def is_on_curve(point: Point) -> bool:
    """Tell whether the coordinates are in the field and satisfy the curve's equation."""
    try:
        _public(point)
    except ValueError:
        return False
    return True


def point_of(scalar: int) -> Point:
    """Return the public point of a scalar in 1..n-1."""
    numbers = _private(scalar).public_key().public_numbers()
    return numbers.x, numbers.y


def sign(scalar: int, message: bytes) -> bytes:
    """Return a DER signature whose nonce follows RFC 6979: the same scalar and message give the same bytes.

    Raises: KeystoreError where the cryptography library cannot do that.
    """
    try:
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    except UnsupportedAlgorithm:
        raise KeystoreError(
            "expected ECDSA with nonces by RFC 6979, got a cryptography library without it",
            hint="install cryptography from its own wheel, or sign with SM2 or Ed25519",
        ) from None
    return _private(scalar).sign(message, algorithm)


def verify(point: Point, signature: bytes, message: bytes) -> None:
    """Check a DER signature: strict DER, r and s in 1..n-1; s may be in either half of that range.

    Raises: SignatureError.
    """
    r, s = scheme.decode_signature(signature)
    scheme.check_range(r, s, N)
    try:
        _public(point).verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        raise scheme.mismatch() from None


def _public(point: Point) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicNumbers(point[0], point[1], ec.SECP256R1()).public_key()


def _private(scalar: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(scalar, ec.SECP256R1())
