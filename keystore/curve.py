"""The curve of SM2: its constants, points, and multiplication by gmssl, which serves as the engine only.

From gmssl comes the multiplication of a point by a scalar and nothing else: its key parsing, signatures,
nonces and digests are not used (`FORMAT.md` says why). No function here runs in constant time.
Source: GB/T 32918.5-2017 (the curve sm2p256v1), GB/T 32918.1-2016, clause 3.2.3 (addition).
"""

from __future__ import annotations

import secrets
from typing import TypeAlias

from gmssl.sm2 import CryptSM2, default_ecc_table

P = int(default_ecc_table["p"], 16)
A = int(default_ecc_table["a"], 16)
B = int(default_ecc_table["b"], 16)
N = int(default_ecc_table["n"], 16)
SIZE = 32

Point: TypeAlias = tuple[int, int]
G: Point = (int(default_ecc_table["g"][:64], 16), int(default_ecc_table["g"][64:], 16))

_ENGINE = CryptSM2(private_key="", public_key="")


def is_on_curve(point: Point) -> bool:
    """Tell whether the coordinates are in the field and satisfy the curve's equation."""
    x, y = point
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x * x + A * x + B)) % P == 0


def multiply(scalar: int, point: Point) -> Point:
    """Return scalar times a point of the curve; with 1 <= scalar < N that is never infinity."""
    if not 0 < scalar < N:
        raise ValueError("scalar outside 1..n-1")
    product: str = _ENGINE._kg(scalar, f"{point[0]:064x}{point[1]:064x}")
    return int(product[:64], 16), int(product[64:], 16)


def multiply_secret(scalar: int, point: Point = G) -> Point:
    """Return scalar times a point in two random parts, so that the time taken says little about a secret scalar.

    The random split changes the time only, never the result.
    """
    share = secrets.randbelow(N - 1) + 1
    while share == scalar:
        share = secrets.randbelow(N - 1) + 1
    total = add(multiply(share, point), multiply((scalar - share) % N, point))
    if total is None:
        raise ValueError("scalar outside 1..n-1")
    return total


def add(left: Point, right: Point) -> Point | None:
    """Return the sum of two points, None for the point at infinity."""
    (x1, y1), (x2, y2) = left, right
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    if left == right:
        slope = (3 * x1 * x1 + A) * pow(2 * y1, -1, P) % P
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, P) % P
    x3 = (slope * slope - x1 - x2) % P
    return x3, (slope * (x1 - x3) - y1) % P
