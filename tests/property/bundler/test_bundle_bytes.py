"""A bundle is a function of its contents, and no single byte of it may change."""

import io
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from bundles import SIGNER, packed, small_bundle, small_manifest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.archive import read_head, total_size
from bundler.errors import FerryError
from bundler.model.manifest import format_manifest, parse_manifest
from bundler.verify import Policy, verify

NOW = datetime(2026, 6, 1, tzinfo=UTC)
POLICY = Policy(trusted=(SIGNER.public,))
GOOD = small_bundle()


@settings(max_examples=25, deadline=None)
@given(blobs=st.lists(st.binary(max_size=2000), max_size=5))
def test_what_is_packed_verifies_and_has_the_size_that_the_manifest_says(blobs: list[bytes]) -> None:
    manifest, contents = small_manifest(blobs)
    data = packed(manifest, contents)
    assert parse_manifest(format_manifest(manifest)) == manifest
    assert len(data) == total_size(manifest, read_head(io.BytesIO(data)).end)
    with TemporaryDirectory() as directory:
        path = Path(directory, "bundle.tar")
        path.write_bytes(data)
        assert verify(path, POLICY, now=NOW).manifest == manifest


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 7))
def test_no_bit_may_change(position: int, bit: int) -> None:
    bad = bytearray(GOOD)
    bad[position] ^= 1 << bit
    with TemporaryDirectory() as directory:
        path = Path(directory, "bundle.tar")
        path.write_bytes(bad)
        with pytest.raises(FerryError):
            verify(path, POLICY, now=NOW)


@settings(max_examples=30, deadline=None)
@given(length=st.integers(0, len(GOOD) - 1))
def test_no_beginning_of_a_bundle_is_a_bundle(length: int) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, "bundle.tar")
        path.write_bytes(GOOD[:length])
        with pytest.raises(FerryError):
            verify(path, POLICY, now=NOW)
