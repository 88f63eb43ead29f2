"""Reed-Solomon beside zfec, whose code it is: each heals what the other encoded."""

from __future__ import annotations

import sys

import pytest
import zfec
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.erasure import Code, invert


@st.composite
def shapes(draw: st.DrawFn) -> tuple[int, int]:
    """Draw numbers of blocks of data and of parity."""
    total = draw(st.one_of(st.integers(2, 20), st.integers(2, 256)))
    data = draw(st.integers(1, total - 1))
    return data, total - data


@st.composite
def coded(draw: st.DrawFn) -> tuple[int, int, list[bytes], list[int], int]:
    """Draw a shape, blocks of data, the blocks that are left, and one that is wanted."""
    data, parity = draw(shapes())
    length = draw(st.integers(1, 40) if data > 8 else st.sampled_from((1, 7, 4096, 40_000, 70_001)))
    random = draw(st.randoms(use_true_random=False))
    blocks = [random.randbytes(length) for _ in range(data)]
    left = sorted(random.sample(range(data + parity), draw(st.integers(data, data + parity))))
    return data, parity, blocks, left, draw(st.integers(0, data + parity - 1))


@settings(max_examples=60, deadline=None)
@given(coded())
def test_the_same_parity_as_zfec_and_every_block_back(
    case: tuple[int, int, list[bytes], list[int], int],
) -> None:
    data, parity, blocks, left, wanted = case
    whole = [*map(bytes, zfec.Encoder(data, data + parity).encode(blocks))]
    own = Code(data, parity, native=False)
    assert own.encode(blocks) == whole[data:] == Code(data, parity).encode(blocks)
    have = {number: whole[number] for number in left}
    assert own.heal(have, wanted) == whole[wanted] == Code(data, parity).heal(have, wanted)


@settings(max_examples=30, deadline=None)
@given(coded())
def test_zfec_heals_by_own_parity(case: tuple[int, int, list[bytes], list[int], int]) -> None:
    data, parity, blocks, left, _ = case
    whole = [*blocks, *Code(data, parity, native=False).encode(blocks)]
    numbers = left[:data]
    assert [*map(bytes, zfec.Decoder(data, data + parity).decode([whole[n] for n in numbers], numbers))] == blocks


def test_the_inverse_of_a_matrix_by_hand() -> None:
    """Over GF(256) with x^8 + x^4 + x^3 + x^2 + 1: the inverse of 2 is 0x8e."""
    assert invert([b"\x02\x00", b"\x00\x01"]) == (b"\x8e\x00", b"\x00\x01")
    assert invert([b"\x00\x01", b"\x01\x00"]) == (b"\x00\x01", b"\x01\x00")


def test_without_zfec_the_own_code_works(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = [b"one", b"two"]
    expected = Code(2, 1).encode(blocks)
    monkeypatch.setitem(sys.modules, "zfec", None)
    code = Code(2, 1)
    assert code.encode(blocks) == expected
    assert code.heal({1: blocks[1], 2: expected[0]}, 0) == blocks[0]
