"""Between the bytes that an archive keeps and the key objects of the libraries.

Kept are: PKCS#8 in DER for RSA and ECDSA, the scalar for SM2, the seed for Ed25519, and symmetric keys as they are.
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from keystore import sm2
from keystore.engines import rsakey
from keystore.engines.request import RequestError

_Private: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def private_der(key: _Private) -> bytes:
    """Return PKCS#8 in DER, unencrypted."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def traditional_pem(key: _Private) -> str:
    """Return the PEM form of before PKCS#8 ('RSA PRIVATE KEY', 'EC PRIVATE KEY'), which exports have."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    return pem.decode("ascii").strip()


def public_pem(key: _Private) -> str:
    """Return the SubjectPublicKeyInfo of the public half in PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode("ascii")


def load_rsa(secret: bytes, bits: int, *, checked: bool = False) -> rsa.RSAPrivateKey:
    """Return an RSA key of this many bits; `checked` where somebody else may have made it.

    Raises: RequestError.
    """
    found = _load(secret)
    if not isinstance(found, rsa.RSAPrivateKey) or found.key_size != bits:
        raise RequestError(f"expected an RSA key of {bits} bits, got another kind of key")
    if checked:
        rsakey.check(found)
    return found


def load_curve(secret: bytes, curve: type[ec.EllipticCurve]) -> ec.EllipticCurvePrivateKey:
    """Return a key on this curve.

    Raises: RequestError.
    """
    found = _load(secret)
    if not isinstance(found, ec.EllipticCurvePrivateKey) or not isinstance(found.curve, curve):
        raise RequestError(f"expected a key on the curve {curve.name}, got another kind of key")
    return found


def load_sm2(secret: bytes) -> sm2.PrivateKey:
    """Return the SM2 key of a scalar.

    Raises: RequestError.
    """
    if len(secret) != sm2.HEDGE_BYTES:
        raise RequestError(f"expected an SM2 scalar of 32 bytes, got {len(secret)}")
    return sm2.PrivateKey(int.from_bytes(secret, "big"))


def restore_sm2(secret: bytes, public: str) -> sm2.PrivateKey:
    """Return the SM2 key of a scalar and its public half, both of a sealed record."""
    return sm2.PrivateKey.restore(int.from_bytes(secret, "big"), sm2.PublicKey.from_pem(public))


def _load(secret: bytes) -> object:
    try:
        return serialization.load_der_private_key(secret, None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise RequestError("expected a private key in PKCS#8 DER, got something else") from None
