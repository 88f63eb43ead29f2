"""Check an RSA key of somebody else's making in milliseconds.

The library proves both primes, which takes seconds for a long key and holds the interpreter all the while: nobody else
would be served. A key whose numbers fit each other and that signs what it then verifies works, and that is what an
import has to know: whether its primes are prime harms nobody but who made it.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from keystore.engines.request import RequestError

_ROUNDS = 2
_LARGEST_EXPONENT = 1 << 32


def check(key: rsa.RSAPrivateKey) -> None:
    """Refuse a key whose numbers do not fit each other, or that cannot sign.

    Raises: RequestError.
    """
    try:
        fits = _fits(key.private_numbers()) and _signs(key)
    except ValueError:
        fits = False
    if not fits:
        raise RequestError("expected an RSA key whose numbers fit each other, got another")


def _fits(found: rsa.RSAPrivateNumbers) -> bool:
    p, q, d, e = found.p, found.q, found.d, found.public_numbers.e
    if min(p, q) < 3 or p == q or not (p & q & e & 1) or not 3 <= e < _LARGEST_EXPONENT:
        return False
    if p * q != found.public_numbers.n or (e * d - 1) % (p - 1) or (e * d - 1) % (q - 1):
        return False
    return found.dmp1 == d % (p - 1) and found.dmq1 == d % (q - 1) and found.iqmp * q % p == 1


def _signs(key: rsa.RSAPrivateKey) -> bool:
    try:
        for _ in range(_ROUNDS):
            message = secrets.token_bytes(32)
            signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
            key.public_key().verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return False
    return True
