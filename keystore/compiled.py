"""The curve of SM2 by the system's libcrypto, where there is one: forty times as fast as gmssl.

Only points are multiplied here, over parameters that we give: what a nonce is, what a signature is and what is checked
stays in `scheme`, so both engines give the same bytes. The curve need not be among those that libcrypto knows by name:
some systems build theirs without it.
Source: EC_GROUP_new_curve_GFp(3), EC_POINT_mul(3), BN_bn2binpad(3).
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator

from keystore.errors import KeystoreError

LIBRARIES = ("libcrypto.so.3", "libcrypto.so.1.1")
_SIZE = 32
_CONSTANT_TIME = 4
Point = tuple[int, int]

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
_FUNCTIONS: dict[str, tuple[object, tuple[object, ...]]] = {
    "BN_CTX_new": (_POINTER, ()),
    "BN_CTX_free": (None, (_POINTER,)),
    "BN_bin2bn": (_POINTER, (ctypes.c_char_p, _INT, _POINTER)),
    "BN_bn2binpad": (_INT, (_POINTER, ctypes.c_char_p, _INT)),
    "BN_set_flags": (None, (_POINTER, _INT)),
    "BN_clear_free": (None, (_POINTER,)),
    "EC_GROUP_new_curve_GFp": (_POINTER, (_POINTER,) * 4),
    "EC_GROUP_set_generator": (_INT, (_POINTER,) * 4),
    "EC_POINT_new": (_POINTER, (_POINTER,)),
    "EC_POINT_clear_free": (None, (_POINTER,)),
    "EC_POINT_set_affine_coordinates": (_INT, (_POINTER,) * 5),
    "EC_POINT_get_affine_coordinates": (_INT, (_POINTER,) * 5),
    "EC_POINT_is_at_infinity": (_INT, (_POINTER,) * 2),
    "EC_POINT_mul": (_INT, (_POINTER,) * 6),
}


class Libcrypto:
    """One curve of short Weierstrass form over a prime field of 256 bits, and its base point."""

    def __init__(self, name: str, *, p: int, a: int, b: int, base: Point, order: int) -> None:
        """Load a library and tell it the curve.

        Raises: KeystoreError where it is not there, or does not take the curve.
        """
        self.name = name
        try:
            self._library = ctypes.CDLL(name)
            for function, (result, arguments) in _FUNCTIONS.items():
                declared = getattr(self._library, function)
                declared.restype, declared.argtypes = result, arguments
        except (OSError, AttributeError) as error:
            raise KeystoreError(f"expected a library with elliptic curves, got '{error}'", place=name) from None
        with self._numbers() as number:
            context = self._library.BN_CTX_new()
            self._group = self._library.EC_GROUP_new_curve_GFp(number(p), number(a), number(b), context)
            self._library.BN_CTX_free(context)
            if not self._group:
                raise KeystoreError("expected a library that takes the curve of SM2, got one that does not", place=name)
            with self._point(base, number) as point:
                # Without the cofactor the library would not take its ladder, whose time says nothing of the scalar.
                self._check(self._library.EC_GROUP_set_generator(self._group, point, number(order), number(1)))

    def multiply(self, scalar: int, point: Point | None) -> Point | None:
        """Return scalar times a point, the base point unless given, None for infinity; in constant time."""
        with self._numbers() as number, self._point(point, number) as factor, self._empty() as found:
            secret = number(scalar)
            self._library.BN_set_flags(secret, _CONSTANT_TIME)
            pair = (secret, None, None) if point is None else (None, factor, secret)
            self._check(self._library.EC_POINT_mul(self._group, found, *pair, None))
            return self._coordinates(found, number)

    def combine(self, of_base: int, of_point: int, point: Point) -> Point | None:
        """Return of_base times the base point plus of_point times a point, None for infinity; not in constant time."""
        with self._numbers() as number, self._point(point, number) as factor, self._empty() as found:
            pair = (number(of_base), factor, number(of_point))
            self._check(self._library.EC_POINT_mul(self._group, found, *pair, None))
            return self._coordinates(found, number)

    @contextlib.contextmanager
    def _numbers(self) -> Iterator[_Numbers]:
        """Lend numbers of the library, which are overwritten when the block ends."""
        numbers = _Numbers(self._library)
        try:
            yield numbers
        finally:
            numbers.free()

    @contextlib.contextmanager
    def _empty(self) -> Iterator[int]:
        found = self._library.EC_POINT_new(self._group)
        self._check(found)
        try:
            yield found
        finally:
            self._library.EC_POINT_clear_free(found)

    @contextlib.contextmanager
    def _point(self, point: Point | None, number: _Numbers) -> Iterator[int | None]:
        """Lend a point of the library; it refuses one that is not on the curve."""
        if point is None:
            yield None
            return
        with self._empty() as found:
            x, y = number(point[0]), number(point[1])
            self._check(self._library.EC_POINT_set_affine_coordinates(self._group, found, x, y, None))
            yield found

    def _coordinates(self, found: int, number: _Numbers) -> Point | None:
        if self._library.EC_POINT_is_at_infinity(self._group, found):
            return None
        x, y = number(0), number(0)
        self._check(self._library.EC_POINT_get_affine_coordinates(self._group, found, x, y, None))
        return number.value(x), number.value(y)

    def _check(self, result: int | None) -> None:
        if not result:
            raise KeystoreError("expected a point of the curve, got an error of the library", place=self.name)


class _Numbers:
    """Numbers of the library, kept until they are overwritten together."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._lent: list[int] = []

    def __call__(self, value: int) -> int:
        """Return a number of the library."""
        made = self._library.BN_bin2bn(value.to_bytes(_SIZE, "big"), _SIZE, None)
        if not made:
            raise MemoryError
        self._lent.append(made)
        return int(made)

    def value(self, number: int) -> int:
        """Return what a number of the library is."""
        buffer = ctypes.create_string_buffer(_SIZE)
        if self._library.BN_bn2binpad(number, buffer, _SIZE) != _SIZE:
            raise ValueError("number of more than 256 bits")
        return int.from_bytes(buffer.raw, "big")

    def free(self) -> None:
        """Overwrite and forget them."""
        for number in self._lent:
            self._library.BN_clear_free(number)
        self._lent.clear()
