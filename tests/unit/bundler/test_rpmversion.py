"""Versions of RPM packages sort as rpm sorts them."""

from __future__ import annotations

import shutil
import subprocess
from itertools import product

import pytest

from bundler.model.rpmversion import version_key

# Source: tests/rpmvercmp.at of rpm, the part before the epoch; -1 where the first is older.
VECTORS = [
    ("1.0", "1.0", 0),
    ("1.0", "2.0", -1),
    ("2.0.1", "2.0.1a", -1),
    ("5.5p1", "5.5p10", -1),
    ("10xyz", "10.1xyz", -1),
    ("xyz10", "xyz10.1", -1),
    ("xyz.4", "8", -1),
    ("5.5p2", "5.6p1", -1),
    ("6.0.rc1", "6.0", 1),
    ("10b2", "10a1", 1),
    ("1.0aa", "1.0a", 1),
    ("10.0001", "10.0039", -1),
    ("10.0001", "10.1", 0),
    ("4.999.9", "5.0", -1),
    ("20101121", "20101122", -1),
    ("2_0", "2.0", 0),
    ("a+", "a_", 0),
    ("+", "_", 0),
    ("1.0~rc1", "1.0", -1),
    ("1.0~rc1", "1.0~rc2", -1),
    ("1.0~rc1~git123", "1.0~rc1", -1),
    ("1.0^", "1.0", 1),
    ("1.0^git1", "1.0^git2", -1),
    ("1.0^git1", "1.01", -1),
    ("1.0^20160101", "1.0.1", -1),
    ("1.0^20160101^git1", "1.0^20160102", -1),
    ("1.0~rc1^git1", "1.0~rc1", 1),
    ("1.0^git1~pre", "1.0^git1", -1),
]


def compared(one: str, other: str) -> int:
    """Compare as rpm does."""
    first, second = version_key(one), version_key(other)
    return (first > second) - (first < second)


@pytest.mark.parametrize(("one", "other", "expected"), VECTORS)
def test_versions_sort_as_in_the_tests_of_rpm(one: str, other: str, expected: int) -> None:
    assert compared(one, other) == expected
    assert compared(other, one) == -expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("1:1.0-1", "2.0-1", 1),
        ("0:1.0-1", "1.0-1", 0),
        ("1.0-2.oe2203", "1.0-10.oe2203", -1),
        ("1.0-1", "1.0-1.ky10", -1),
        ("2:1-1", "10:1-1", -1),
    ],
)
def test_the_epoch_counts_first_and_the_release_last(one: str, other: str, expected: int) -> None:
    assert compared(one, other) == expected
    assert compared(other, one) == -expected


def test_rpm_itself_agrees() -> None:
    if shutil.which("rpm") is None:
        pytest.skip("needs rpm")
    versions = sorted({version for vector in VECTORS for version in vector[:2]})
    pairs = list(product(versions, versions))
    lua = "".join(f'print(rpm.vercmp("{one}", "{other}").."\\n")' for one, other in pairs)
    said = subprocess.run(["rpm", "--eval", f"%{{lua:{lua}}}"], check=True, capture_output=True, text=True).stdout
    assert [compared(one, other) for one, other in pairs] == [int(word) for word in said.split()]
