"""A patch between any two blobs makes the second one again."""

from __future__ import annotations

import gzip
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from differentials import zipped
from hypothesis import given, settings
from hypothesis import strategies as st

from bundler.delta.deflate import find_parameters, inflate
from bundler.delta.make import make_patch, mapped
from bundler.delta.rebuild import rebuild
from bundler.delta.streams import find_streams
from bundler.errors import IntegrityError

plain = st.binary(min_size=1, max_size=3000)
members = st.lists(st.tuples(plain, st.integers(0, 9)), min_size=1, max_size=4).map(
    lambda some: b"".join(gzip.compress(data, level, mtime=0) for data, level in some)
)
archives = st.tuples(
    st.dictionaries(st.from_regex("[a-z]{1,5}", fullmatch=True), plain, min_size=1, max_size=4), st.integers(0, 9)
).map(lambda one: zipped(*one))
blobs = st.one_of(plain, members, archives)


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """Return an archive that was cut, or in which one byte is another."""
    blob = bytearray(draw(st.one_of(members, archives)))
    at = draw(st.integers(0, len(blob) - 1))
    if draw(st.booleans()):
        return bytes(blob[: at + 1])
    blob[at] = draw(st.integers(0, 255))
    return bytes(blob)


@given(st.one_of(blobs, spoiled()), st.one_of(blobs, spoiled()), plain, st.integers(0, 3000))
@settings(max_examples=60, deadline=None)
def test_a_patch_makes_the_result_again(base: bytes, other: bytes, inserted: bytes, at: int) -> None:
    for result in (other, base[:at] + inserted + base[at:]):
        with tempfile.TemporaryDirectory() as name:
            work = Path(name)
            (work / "base").write_bytes(base)
            (work / "result").write_bytes(result)
            with (work / "patch").open("wb") as out, mapped(work / "base") as old, mapped(work / "result") as new:
                make_patch(old, new, work, out.write)
            made = bytearray()
            with ThreadPoolExecutor(2) as pool:
                rebuild(work / "patch", work / "base", made.extend, pool)
            assert made == result


@given(st.one_of(members, archives))
@settings(deadline=None)
def test_streams_are_found_and_made_again_exactly(blob: bytes) -> None:
    data = memoryview(blob)
    for stream in find_streams(data):
        parameters = find_parameters(stream.of(data))
        if parameters is not None:
            again = parameters.compressor()
            assert again.compress(b"".join(inflate(stream.of(data)))) + again.flush() == stream.of(data)


@given(st.binary(max_size=400), st.booleans(), st.integers(0, 60), st.integers(1, 255))
@settings(max_examples=150, deadline=None)
def test_a_hostile_patch_raises_one_kind_of_error(noise: bytes, changed: bool, at: int, bit: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        (work / "base").write_bytes(b"the base of it" * 9)
        if changed:
            with (work / "patch").open("wb") as out, mapped(work / "base") as old:
                make_patch(old, memoryview(b"the result of it" * 9), work, out.write)
            data = bytearray((work / "patch").read_bytes())
            data[at % len(data)] ^= bit
            noise = bytes(data)
        (work / "patch").write_bytes(noise)
        with ThreadPoolExecutor(1) as pool:
            try:
                rebuild(work / "patch", work / "base", lambda data: None, pool)
            except IntegrityError:
                return
        assert changed, "noise is no patch"
