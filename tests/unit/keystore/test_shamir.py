"""Shares of a secret."""

import itertools

import pytest

from keystore import shamir
from keystore.errors import KeystoreError


def test_any_enough_shares_give_the_secret_back() -> None:
    secret = bytes(range(32))
    shares = shamir.split(secret, 5, 3)
    assert [len(share) for share in shares] == [33] * 5
    assert all(shamir.combine(chosen) == secret for chosen in itertools.permutations(shares, 3))
    assert shamir.combine(shares) == secret
    assert shamir.combine(shares[:2]) != secret


def test_the_field_is_that_of_aes() -> None:
    # FIPS 197, clause 4.2: {57} x {83} = {c1}. With the points 1 and 2 the line through 57 with slope 83 is known.
    assert shamir.combine([bytes([0x57 ^ 0x83, 1]), bytes([0x57 ^ 0x1D, 2])]) == bytes([0x57])
    shares = shamir.split(b"\x57", 2, 2, random=lambda count: b"\x83" if count == 1 else bytes(8))
    # x takes the points 1 and 2; {83} x {02} = {1d}.
    assert shares == [bytes([0x57 ^ 0x83, 1]), bytes([0x57 ^ 0x1D, 2])]


@pytest.mark.parametrize(
    ("shares", "threshold"), [(1, 1), (3, 1), (2, 3), (256, 2), (0, 0)], ids=["one", "low", "high", "many", "none"]
)
def test_senseless_numbers_are_refused(shares: int, threshold: int) -> None:
    with pytest.raises(KeystoreError) as refused:
        shamir.split(b"x", shares, threshold)
    told = f"expected 2 <= threshold <= shares <= 255, got threshold {threshold} of {shares} shares"
    assert str(refused.value) == told


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ([b"ab"], "expected at least 2 shares, got 1"),
        ([b"ab", b"abc"], "expected shares of one length, at least 2 bytes each, got others"),
        ([b"ab", b"cb"], "expected different shares, got one twice"),
        ([b"a\0", b"cb"], "expected different shares, got one twice"),
    ],
)
def test_what_can_be_no_shares_is_refused(shares: list[bytes], told: str) -> None:
    with pytest.raises(KeystoreError) as refused:
        shamir.combine(shares)
    assert str(refused.value) == told
