"""Reed-Solomon over GF(256), the code of zfec: any `data` of `data + parity` blocks give every one of them.

The isolated host has Python and no zfec: there blocks are multiplied by `bytes.translate` and added as large integers.
Where zfec can be imported it does the work; both give the same bytes.

Source: L. Rizzo, Effective erasure codes for reliable computer communication protocols, 1997; zfec/fec.c.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

MOST_BLOCKS = 256
_POLYNOMIAL = 0x11D
# Integers of this size stay in the processor's cache, and their memory comes without a call of the kernel.
_SLICE = 32 * 1024


def _powers() -> tuple[int, ...]:
    found = [1]
    while len(found) < 255:
        doubled = found[-1] << 1
        found.append(doubled ^ _POLYNOMIAL if doubled & 0x100 else doubled)
    return tuple(found)


_EXP = _powers()
_LOG = {value: power for power, value in enumerate(_EXP)}


class Code:
    """The code for so many blocks of data and of parity; blocks are numbered from 0, those of data first."""

    def __init__(self, data: int, parity: int, *, native: bool = True) -> None:
        self.data = data
        self.parity = parity
        zfec = _zfec() if native else None
        self._encoder = zfec.Encoder(data, data + parity) if zfec else None
        self._decoder = zfec.Decoder(data, data + parity) if zfec else None

    def encode(self, blocks: Sequence[bytes]) -> list[bytes]:
        """Return the blocks of parity for blocks of data that have one length."""
        numbers = range(self.data, self.data + self.parity)
        if self._encoder is not None:
            return [bytes(block) for block in self._encoder.encode(tuple(blocks), tuple(numbers))]
        return [combine(_generator(self.data, number), blocks) for number in numbers]

    def heal(self, have: Mapping[int, bytes], wanted: int) -> bytes:
        """Return a block by its number from at least `data` others, which have one length."""
        numbers = tuple(sorted(have))[: self.data]
        blocks = [have[number] for number in numbers]
        if self._decoder is None or wanted >= self.data:
            return combine(_healing_row(self.data, numbers, wanted), blocks)
        return bytes(self._decoder.decode(tuple(blocks), numbers)[wanted])


def _zfec() -> Any:
    try:
        return importlib.import_module("zfec")
    except ImportError:
        return None


def combine(factors: Sequence[int], blocks: Sequence[bytes]) -> bytes:
    """Return the sum of blocks of one length, each times its factor."""
    length = len(blocks[0])
    tables = [(_table(factor), block) for factor, block in zip(factors, blocks, strict=True) if factor]
    return b"".join(_sum(tables, start, min(_SLICE, length - start)) for start in range(0, length, _SLICE))


def _sum(tables: Sequence[tuple[bytes, bytes]], start: int, length: int) -> bytes:
    total = 0
    for table, block in tables:
        total ^= int.from_bytes(block[start : start + length].translate(table), "little")
    return total.to_bytes(length, "little")


@lru_cache(maxsize=256)
def _table(factor: int) -> bytes:
    """Return the products of a factor with every byte."""
    shift = _LOG[factor]
    return bytes([0, *(_EXP[(_LOG[value] + shift) % 255] for value in range(1, 256))])


@lru_cache(maxsize=MOST_BLOCKS)
def _generator(data: int, number: int) -> bytes:
    """Return the factors by which the blocks of data give block `number`."""
    if number < data:
        return _unit(data, number)
    return combine(_vandermonde(data, number), _inverse_top(data))


def _unit(length: int, place: int) -> bytes:
    return bytes(int(column == place) for column in range(length))


def _vandermonde(data: int, number: int) -> bytes:
    """Return the powers of a point of the field, which is 0 for block 0."""
    if number == 0:
        return _unit(data, 0)
    return bytes(_EXP[(number - 1) * column % 255] for column in range(data))


@lru_cache(maxsize=8)
def _inverse_top(data: int) -> tuple[bytes, ...]:
    return invert([_vandermonde(data, number) for number in range(data)])


@lru_cache(maxsize=1024)
def _healing_row(data: int, numbers: tuple[int, ...], wanted: int) -> bytes:
    inverse = invert([_generator(data, number) for number in numbers])
    return combine(_generator(data, wanted), inverse)


def invert(matrix: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return the inverse of a square matrix that has one."""
    size = len(matrix)
    rows = [row + _unit(size, number) for number, row in enumerate(matrix)]
    for column in range(size):
        pivot = next(number for number in range(column, size) if rows[number][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = rows[column].translate(_table(_EXP[-_LOG[rows[column][column]] % 255]))
        for number in range(size):
            if number != column and rows[number][column]:
                rows[number] = combine((1, rows[number][column]), (rows[number], rows[column]))
    return tuple(row[size:] for row in rows)
