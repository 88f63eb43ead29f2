"""Whatever bytes are changed, put in, taken out or moved: a refusal in words, never belief and never a traceback."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from bundles import SIGNER
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from refusals import plain, volumes
from spoilhead import parts

from bundler.archive import read_head
from bundler.errors import FerryError, IntegrityError
from bundler.medium import Medium
from bundler.model.manifest import parse_manifest
from bundler.model.volume import LABEL_BYTES, parse_label
from bundler.verify import Policy, verify
from bundler.volumes import read_label, verify_volume

NOW = datetime(2026, 6, 1, tzinfo=UTC)
POLICY = Policy(trusted=(SIGNER.public,))
MANIFEST = parts(plain())["ferry.json"]
LABEL = volumes()[0][read_head(io.BytesIO(volumes()[0])).end + 512 :][:LABEL_BYTES]


def spoiled(good: bytes) -> st.SearchStrategy[bytes]:
    """Return a strategy of the same bytes with one thing done to a range of them."""
    place = st.integers(0, len(good))
    length = st.one_of(st.integers(1, 16), st.sampled_from([512, 1024, 4096]), place)
    more = st.one_of(st.binary(max_size=40), st.sampled_from([bytes(512), bytes(1024), b"\xff" * 512]))

    def change(how: str, at: int, size: int, to: int, data: bytes) -> bytes:
        end = min(len(good), at + size)
        if how == "put in":
            return good[:at] + data + good[at:]
        if how == "take out":
            return good[:at] + good[end:]
        if how == "write over":
            return (good[:at] + data + good[at + len(data) :])[: len(good)]
        if how == "copy":
            return (good[:to] + good[at:end] + good[to + end - at :])[: len(good)]
        rest = good[:at] + good[end:]
        return rest[:to] + good[at:end] + rest[to:]

    ways = st.sampled_from(["put in", "take out", "write over", "copy", "move"])
    return st.builds(change, ways, place, length, place, more).filter(lambda bad: bad != good)


def refused(bad: bytes, check: Callable[[Path], object]) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, "plain.vol1of2.tar")
        path.write_bytes(bad)
        with pytest.raises(FerryError) as caught:
            check(path)
    assert caught.value.exit_code in (6, 7)
    assert caught.value.message


@settings(max_examples=120, deadline=None)
@given(bad=spoiled(plain()))
@example(bad=b"")
@example(bad=plain() + b"\0")
def test_a_spoiled_bundle_is_refused(bad: bytes) -> None:
    refused(bad, lambda path: verify(path, POLICY, now=NOW))


@settings(max_examples=100, deadline=None)
@given(bad=spoiled(volumes()[0]))
@example(bad=volumes()[1][:-1])
def test_a_spoiled_volume_is_refused(bad: bytes) -> None:
    refused(bad, lambda path: verify_volume(path, POLICY, now=NOW))


@settings(max_examples=40, deadline=None)
@given(bad=spoiled(volumes()[0]))
def test_a_spoiled_volume_among_good_ones_is_never_taken(bad: bytes) -> None:
    with TemporaryDirectory() as directory:
        first, second = Path(directory, "plain.vol1of2.tar"), Path(directory, "plain.vol2of2.tar")
        first.write_bytes(bad)
        second.write_bytes(volumes()[1])
        with pytest.raises(FerryError):
            Medium(second).verify(POLICY, now=NOW)


@settings(max_examples=100, deadline=None)
@given(bad=spoiled(plain()))
def test_a_head_that_nobody_signed_is_read_without_a_traceback(bad: bytes) -> None:
    with TemporaryDirectory() as directory:
        path = Path(directory, "plain.tar")
        path.write_bytes(bad)
        with suppress(IntegrityError):
            parse_manifest(read_head(io.BytesIO(bad)).manifest)
            read_label(path)


@settings(max_examples=300, deadline=None)
@given(bad=spoiled(MANIFEST))
def test_a_manifest_that_a_trusted_key_should_not_have_signed_is_told_in_words(bad: bytes) -> None:
    with suppress(IntegrityError):
        parse_manifest(bad)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path] if path else []
    if isinstance(value, dict):
        found += [one for key, below in value.items() for one in _paths(below, (*path, key))]
    if isinstance(value, list):
        found += [one for index, below in enumerate(value) for one in _paths(below, (*path, index))]
    return found


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(["\ud800", "a\0b", "../x", "/x", "", "a" * 300, "2026-01-01T00:00:00Z", "f" * 64, "1" * 5000]),
    st.lists(st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=300, deadline=None)
@given(path=st.sampled_from(_paths(json.loads(MANIFEST))), value=VALUES)
def test_any_value_in_any_field_is_taken_or_told_in_words(path: tuple[Any, ...], value: object) -> None:
    document = json.loads(MANIFEST)
    holder = document
    for step in path[:-1]:
        holder = holder[step]
    assume(holder[path[-1]] != value)
    holder[path[-1]] = value
    with suppress(IntegrityError):
        parse_manifest(json.dumps(document).encode())


@settings(max_examples=200, deadline=None)
@given(bad=spoiled(LABEL))
def test_a_label_has_one_form(bad: bytes) -> None:
    try:
        label = parse_label(bad)
    except IntegrityError:
        return
    assert label != parse_label(LABEL)
