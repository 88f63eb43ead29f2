"""Versions of Debian packages sort as dpkg sorts them."""

import itertools
import shutil
import subprocess

import pytest

from bundler.model.debian import version_key

# From the lowest up. Source: deb-version(7), its example of tildes among them.
ASCENDING = (
    *("0~", "0", "1-2", "1-2-3", "1.0~~", "1.0~~a", "1.0~", "1.0", "1.0-1", "1.0-1+deb12u3", "1.0-1+deb12u14"),
    *("1.0a", "1.0+b1", "1.9", "1.10", "2.36-9+deb12u9", "1:0.1"),
)


@pytest.mark.parametrize(("lower", "higher"), list(itertools.pairwise(ASCENDING)))
def test_versions_ascend(lower: str, higher: str) -> None:
    assert version_key(lower) < version_key(higher)


@pytest.mark.parametrize(("one", "other"), [("1.0", "1.0-0"), ("1.0", "0:1.0"), ("1.00", "1.0"), ("1.", "1.0")])
def test_some_texts_are_one_version(one: str, other: str) -> None:
    assert version_key(one) == version_key(other)


def test_dpkg_agrees() -> None:
    if shutil.which("dpkg") is None:
        pytest.skip("needs dpkg")
    for one, other in itertools.permutations(ASCENDING, 2):
        done = subprocess.run(["dpkg", "--compare-versions", one, "lt", other], capture_output=True, check=False)
        assert (done.returncode == 0) == (version_key(one) < version_key(other)), (one, other)
