"""Split a secret into shares of which any `threshold` give it back, over GF(256), in the share format of Vault.

A share is the value of one random polynomial per byte of the secret at the share's point x, followed by the byte x.
Source: A. Shamir, How to Share a Secret (1979); the field is that of AES, x^8 + x^4 + x^3 + x + 1.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from keystore.errors import KeystoreError

SHARES_MOST = 255
_POLYNOMIAL = 0x11B


def _tables() -> tuple[bytes, bytes]:
    """Return powers of the generator 3, twice over, and logarithms to its base."""
    powers, logarithms = bytearray(510), bytearray(256)
    value = 1
    for exponent in range(255):
        powers[exponent] = powers[exponent + 255] = value
        logarithms[value] = exponent
        value ^= value << 1
        if value > 0xFF:
            value ^= _POLYNOMIAL
    return bytes(powers), bytes(logarithms)


_POWERS, _LOGARITHMS = _tables()


def _multiply(a: int, b: int) -> int:
    return _POWERS[_LOGARITHMS[a] + _LOGARITHMS[b]] if a and b else 0


def _divide(a: int, b: int) -> int:
    return _POWERS[_LOGARITHMS[a] - _LOGARITHMS[b] + 255] if a else 0


def split(
    secret: bytes, shares: int, threshold: int, *, random: Callable[[int], bytes] = secrets.token_bytes
) -> list[bytes]:
    """Return `shares` shares of a secret, `threshold` of which are needed and enough.

    Raises: KeystoreError.
    """
    if not 2 <= threshold <= shares <= SHARES_MOST:
        raise KeystoreError(
            f"expected 2 <= threshold <= shares <= {SHARES_MOST}, got threshold {threshold} of {shares} shares"
        )
    if not secret:
        raise KeystoreError("expected a secret to split, got none")
    points = _points(shares, random)
    coefficients = [bytes([byte]) + random(threshold - 1) for byte in secret]
    return [bytes(_value(one, point) for one in coefficients) + bytes([point]) for point in points]


def combine(shares: Sequence[bytes]) -> bytes:
    """Return the secret of enough shares; too few, or shares of different secrets, give other bytes without notice.

    Raises: KeystoreError for what can be no shares of one secret.
    """
    if len(shares) < 2:
        raise KeystoreError(f"expected at least 2 shares, got {len(shares)}")
    length = len(shares[0])
    if length < 2 or any(len(share) != length for share in shares):
        raise KeystoreError("expected shares of one length, at least 2 bytes each, got others")
    points = [share[-1] for share in shares]
    if len(set(points)) != len(points) or 0 in points:
        raise KeystoreError("expected different shares, got one twice")
    weights = [_weight(points, index) for index in range(len(points))]
    return bytes(_interpolate(shares, weights, at) for at in range(length - 1))


def _points(count: int, random: Callable[[int], bytes]) -> list[int]:
    """Return different points from 1 to 255 in random order, so that a share does not tell how many there are."""
    left = list(range(1, 256))
    chosen = []
    for _ in range(count):
        chosen.append(left.pop(int.from_bytes(random(8), "big") % len(left)))
    return chosen


def _value(coefficients: bytes, point: int) -> int:
    value = 0
    for coefficient in reversed(coefficients):
        value = _multiply(value, point) ^ coefficient
    return value


def _weight(points: Sequence[int], index: int) -> int:
    """Return the Lagrange weight of a point for the value at 0."""
    weight = 1
    for other, point in enumerate(points):
        if other != index:
            weight = _multiply(weight, _divide(point, point ^ points[index]))
    return weight


def _interpolate(shares: Sequence[bytes], weights: Sequence[int], at: int) -> int:
    total = 0
    for share, weight in zip(shares, weights, strict=True):
        total ^= _multiply(share[at], weight)
    return total
