"""The curve of SM2: its constants, points, and multiplication by an engine: libcrypto where it is, else gmssl.

From gmssl comes the multiplication of a point by a scalar and nothing else: its key parsing, signatures,
nonces and digests are not used (`FORMAT.md` says why). Python's integers and gmssl do not compute in constant time.
Source: GB/T 32918.5-2017 (the curve sm2p256v1), GB/T 32918.1-2016, clause 3.2.3 (addition).
"""

from __future__ import annotations

import functools
import os
import secrets
import sys
from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

from keystore.errors import KeystoreError

P = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFF_00000000_FFFFFFFF_FFFFFFFF
A = P - 3
B = 0x28E9FA9E_9D9F5E34_4D5A9E4B_CF6509A7_F39789F5_15AB8F92_DDBCBD41_4D940E93
N = 0xFFFFFFFE_FFFFFFFF_FFFFFFFF_FFFFFFFF_7203DF6B_21C6052B_53BBF409_39D54123
SIZE = 32

Point: TypeAlias = tuple[int, int]
G: Point = (
    0x32C4AE2C_1F198119_5F990446_6A39C994_8FE30BBF_F2660BE1_715A4589_334C74C7,
    0xBC3736A2_F4F6779C_59BDCEE3_6B692153_D0A9877C_C62A4740_02DF32E5_2139F0A0,
)
ENGINE = "FERRY_SM2_ENGINE"
"""The variable that, set to 'gmssl', keeps libcrypto out."""

# GM/T 0003.5-2012, annex A: the scalar and the public key of the example, and its signature with r + s as t.
_SCALAR = 0x3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8
_POINT: Point = (
    0x09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020,
    0xCCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13,
)
_S = 0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA
_R = 0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3
_E = 0xF0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640


class Engine(Protocol):
    """What multiplies points; scalars are in 1..n-1 and points on the curve."""

    @property
    def name(self) -> str:
        """What the operator knows it by."""

    def multiply(self, scalar: int, point: Point | None) -> Point | None:
        """Return a secret scalar times a point, the base point unless given; None for infinity."""

    def combine(self, of_base: int, of_point: int, point: Point) -> Point | None:
        """Return of_base times the base point plus of_point times a point; None for infinity."""


class Gmssl:
    """The engine that is always there."""

    name = "gmssl"

    def __init__(self) -> None:
        from gmssl.sm2 import CryptSM2

        self._engine = CryptSM2(private_key="", public_key="")

    def multiply(self, scalar: int, point: Point | None) -> Point | None:
        """Multiply in two random parts: the time says little about the scalar then, and the result is the same."""
        share = secrets.randbelow(N - 1) + 1
        while share == scalar:
            share = secrets.randbelow(N - 1) + 1
        factor = point or G
        return add(self._product(share, factor), self._product((scalar - share) % N, factor))

    def combine(self, of_base: int, of_point: int, point: Point) -> Point | None:
        """Multiply one after the other, and add."""
        return add(self._product(of_base, G), self._product(of_point, point))

    def _product(self, scalar: int, point: Point) -> Point:
        product: str = self._engine._kg(scalar, f"{point[0]:064x}{point[1]:064x}")
        return int(product[:64], 16), int(product[64:], 16)


@functools.cache
def engine() -> Engine:
    """Return what multiplies in this process, the same to its end.

    Raises: KeystoreError for an unknown name in FERRY_SM2_ENGINE.
    """
    wanted = os.environ.get(ENGINE, "")
    if wanted not in ("", Gmssl.name):
        raise KeystoreError(f"expected 'gmssl' or nothing, got {wanted!r}", place=ENGINE)
    return Gmssl() if wanted else choose(_compiled())


def choose(makers: Iterable[Callable[[], Engine]]) -> Engine:
    """Return the first engine that is there and knows the known answers; one that does not is told loudly."""
    for make in makers:
        try:
            found = make()
        except KeystoreError:
            continue
        if is_right(found):
            return found
        sys.stderr.write(f"warning: {found.name} computes SM2 wrongly: it is not used\n")
    return Gmssl()


def is_right(found: Engine) -> bool:
    """Tell whether an engine gives the answers of the standard, and those that follow from the group's order."""
    base, before = found.multiply(1, None), found.multiply(N - 1, _POINT)
    signed = found.combine(_S, (_R + _S) % N, _POINT)
    return (
        found.multiply(_SCALAR, None) == _POINT == found.multiply(_SCALAR, G)
        and base == G
        and before == (_POINT[0], P - _POINT[1])
        and signed is not None
        and (_E + signed[0]) % N == _R
        and found.combine(_SCALAR, N - 1, _POINT) is None
    )


def _compiled() -> Iterable[Callable[[], Engine]]:
    # The binding is loaded where it is asked for: who sets the variable need not have libffi.
    from keystore.compiled import LIBRARIES, Libcrypto

    return [functools.partial(Libcrypto, name, p=P, a=A, b=B, base=G, order=N) for name in LIBRARIES]


def is_on_curve(point: Point) -> bool:
    """Tell whether the coordinates are in the field and satisfy the curve's equation."""
    x, y = point
    return 0 <= x < P and 0 <= y < P and (y * y - (x * x * x + A * x + B)) % P == 0


def multiply(scalar: int, point: Point | None = None) -> Point:
    """Return a secret scalar times a point of the curve, the base point unless given.

    With 1 <= scalar < N that is never infinity.
    """
    if not 0 < scalar < N:
        raise ValueError("scalar outside 1..n-1")
    found = engine().multiply(scalar, point)
    if found is None:
        raise ValueError("point outside the group")
    return found


def combine(of_base: int, of_point: int, point: Point) -> Point | None:
    """Return of_base times the base point plus of_point times a point, both in 1..n-1; None for infinity."""
    return engine().combine(of_base, of_point, point)


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
