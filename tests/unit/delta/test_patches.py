"""Patches: small where content is shared, exact in what they make, bounded and refused in what they read."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from backports import zstd
from differentials import gzipped, noise, text, zipped

from bundler.delta.deflate import CANDIDATES, RAW, RUNTIME_FINGERPRINT, find_parameters, fingerprint, inflate
from bundler.delta.format import MAGIC, Header, Read, Segment, Write, format_header, read_header
from bundler.delta.make import make_patch, mapped
from bundler.delta.rebuild import rebuild
from bundler.delta.streams import find_streams
from bundler.errors import IntegrityError

MIB = 1024 * 1024


class Work:
    """A place for blobs and patches."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base, self.patch = root / "base", root / "patch"

    def make(self, base: bytes, result: bytes) -> bytes:
        """Return the patch between two blobs, checked to make the result."""
        (self.root / "result").write_bytes(result)
        self.base.write_bytes(base)
        with self.patch.open("wb") as out, mapped(self.base) as old, mapped(self.root / "result") as new:
            assert make_patch(old, new, self.root, out.write)
        assert self.apply() == result
        return self.patch.read_bytes()

    def apply(self) -> bytes:
        """Return what the patch makes of the base."""
        out = bytearray()
        with ThreadPoolExecutor(2) as pool:
            rebuild(self.patch, self.base, out.extend, pool)
        return bytes(out)

    def header(self) -> Header:
        """Return the header of the patch."""
        with self.patch.open("rb") as stream:
            return read_header(stream)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def test_a_changed_member_of_a_layer_goes_inflated(work: Work) -> None:
    base = gzipped(text("a", 3000), text("b", 3000), text("c", 3000))
    result = gzipped(text("a", 3000), b"new line\n" + text("b", 3000), text("c", 3000))
    assert len(work.make(base, result)) < 300 < 150_000 < len(result)
    # What both have deflated alike stays as it is.
    assert [one.parameters for one in work.header().writes if one.parameters] == [(6, 8, 0)]


def test_a_changed_file_of_a_wheel_goes_inflated(work: Work) -> None:
    files = {f"{name}.py": text(name, 500) for name in "abcdef"}
    result = zipped({**files, "c.py": text("c", 400) + b"changed\n", "g.py": b"new\n"}, 9)
    assert len(work.make(zipped(files, 9), result)) < 800 < 20_000 < len(result)


@pytest.mark.parametrize("parameters", CANDIDATES, ids=str)
def test_what_any_known_writer_made_is_made_again(parameters: tuple[int, int, int]) -> None:
    level, memory, strategy = parameters
    compressor = zlib.compressobj(level, zlib.DEFLATED, RAW, memory, strategy)
    stream = memoryview(compressor.compress(text("x", 4000)) + compressor.flush())
    found = find_parameters(stream)
    assert found is not None
    again = found.compressor()
    assert again.compress(b"".join(inflate(stream))) + again.flush() == stream


def test_what_zlib_does_not_make_again_stays_as_it_is(work: Work) -> None:
    data = text("x", 3000)
    compressor = zlib.compressobj(6, zlib.DEFLATED, RAW)
    # A flush in the middle, as a writer that sends as it goes leaves it.
    odd = compressor.compress(data[:5000]) + compressor.flush(zlib.Z_FULL_FLUSH)
    odd += compressor.compress(data[5000:]) + compressor.flush()
    assert find_parameters(memoryview(odd)) is None
    head, tail = b"\x1f\x8b\x08\0\0\0\0\0\0\xff", struct.pack("<II", zlib.crc32(data), len(data))
    work.make(gzipped(data), head + odd + tail)
    assert [one.parameters for one in work.header().writes] == [None]


def test_content_that_moved_far_is_found(work: Work) -> None:
    moved = noise("moved", 2 * MIB)
    assert len(work.make(noise("before", 20 * MIB) + moved, moved + b"the end")) < 2000


def test_segments_that_did_not_change_are_copied(work: Work) -> None:
    base = noise("base", 5 * MIB)
    assert len(work.make(base, base[:-1] + b"x")) < 2000
    assert work.header().segments[0].frame == 0


def test_large_blobs_with_nothing_in_common_get_no_patch(work: Work) -> None:
    (work.root / "old").write_bytes(noise("old", 5 * MIB))
    (work.root / "new").write_bytes(noise("new", 5 * MIB))
    written: list[bytes] = []
    with mapped(work.root / "old") as old, mapped(work.root / "new") as new:
        assert not make_patch(old, new, work.root, written.append)
    assert written == []


def test_a_large_stream_is_made_again_in_pieces(work: Work) -> None:
    old = text("large", 2000) * 70
    assert len(old) > 4 * MIB
    assert len(work.make(gzipped(old), gzipped(b"first line\n" + old))) < 20_000


STRANGE = {
    "gzip of three bytes": b"\x1f\x8b\x08",
    "gzip with a cut field": b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\xff",
    "gzip with a name without end": b"\x1f\x8b\x08\x08" + b"n" * 40,
    "gzip cut off": gzip.compress(b"cut off" * 100, mtime=0)[:-9],
    "gzip filled up": gzipped(text("a", 50)) + b"\0" * 512,
    "gzip with a bad member": gzipped(text("a", 50)) + b"\x1f\x8b\x08\0\0\0\0\0\0\xff not deflated",
    "zip of nothing": b"PK\x03\x04" + b"x" * 60,
    "zip cut off": zipped({"a.py": text("a", 50)})[:-4],
    "zip with a bad entry": zipped({"a.py": text("a", 50)}).replace(b"PK\x03\x04", b"PK\x03\x05"),
    "zip behind something": b"x" + zipped({"a.py": text("a", 50)}),
    "zstd": zstd.compress(text("a", 50)),
}


@pytest.mark.parametrize("name", STRANGE)
def test_damaged_and_strange_archives_are_blobs_like_any_other(work: Work, name: str) -> None:
    blob = STRANGE[name]
    work.make(blob, b"before" + blob)
    work.make(gzipped(b"other"), blob)
    assert find_streams(memoryview(b"")) == []


def test_the_same_blobs_give_the_same_patch(work: Work, tmp_path: Path) -> None:
    (tmp_path / "again").mkdir()
    base, result = text("a", 9000), text("a", 5000) + noise("n", 3000) + text("a", 9000)
    assert work.make(base, result) == Work(tmp_path / "again").make(base, result)


def _written(work: Work, header: Header, frames: bytes = b"") -> None:
    work.base.write_bytes(b"0123456789" * 10)
    work.patch.write_bytes((format_header(header) or b"") + frames)


FITS = Header((Read(100),), (Write(100),), (Segment(100, 0, 100, 0),))


def test_a_patch_may_be_nothing_but_a_copy(work: Work) -> None:
    _written(work, FITS)
    assert work.apply() == b"0123456789" * 10


@pytest.mark.parametrize(
    ("header", "frames", "says"),
    [
        (Header((Read(50),), FITS.writes, FITS.segments), b"", "the patch does not fit its base: the base ends early"),
        (Header((Read(200),), FITS.writes, (Segment(100, 50, 100, 0),)), b"", "the base ends early"),
        (Header((Read(100, inflated=True),), FITS.writes, FITS.segments), b"", "Error -3"),
        (Header(FITS.reads, FITS.writes, (Segment(100, 0, 99, 0),)), b"", "a segment out of bounds"),
        (Header(FITS.reads, FITS.writes, (Segment(100, 0, 4, 9),)), b"", "a segment out of bounds"),
        (Header(FITS.reads, (Write(99),), FITS.segments), b"", "its sums differ"),
        (Header(FITS.reads, (Write(5 * MIB),), (Segment(5 * MIB, 0, 0, 9),)), b"", "a segment out of bounds"),
        (
            Header(FITS.reads, (Write(2),), (Segment(1, 40 * MIB, 0, 9), Segment(1, 0, 0, 9))),
            b"",
            "a segment out of bounds",
        ),
        (Header(FITS.reads, FITS.writes, (Segment(100, 0, 50, 9),)), b"nothing..", "Unable to decompress"),
        (Header(FITS.reads, FITS.writes, (Segment(100, 0, 50, 14),)), zstd.compress(b"short"), "of 100 bytes came"),
        (
            Header(FITS.reads, FITS.writes, (Segment(100, 0, 50, 23),)),
            zstd.compress(bytes(9 * MIB)),
            "of 100 bytes came of a frame",
        ),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(work: Work, header: Header, frames: bytes, says: str) -> None:
    _written(work, header, frames)
    with pytest.raises(IntegrityError) as caught:
        work.apply()
    assert says in str(caught.value)


def _packed(document: object) -> bytes:
    packed = zstd.compress(json.dumps(document).encode())
    return MAGIC + struct.pack(">Q", len(packed)) + packed


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "expected a patch in the format ferry/patch/v1"),
        (b"ferry/patch/v2\n", "expected a patch in the format ferry/patch/v1"),
        (MAGIC, "the header of the patch is damaged: unpack requires a buffer of 8 bytes"),
        (MAGIC + b"\xff" * 8, "the header of the patch is damaged: 18446744073709551615 bytes are too many"),
        (MAGIC + struct.pack(">Q", 4) + b"nope", "the header of the patch is damaged: Unable to decompress"),
        (_packed({})[:-1], "the header of the patch is damaged: it is cut off, or too large"),
        (_packed({}), "the header of the patch is damaged: 'reads'"),
        (_packed([]), "the header of the patch is damaged: list indices must be integers or slices, not str"),
        (_packed({"reads": [[1, 0, 0]], "writes": [], "segments": []}), "the header of the patch is damaged"),
        (_packed({"reads": [[-1, 0]], "writes": [], "segments": []}), "expected a whole number"),
        (_packed({"reads": [], "writes": [[1, 6]], "segments": []}), "the header of the patch is damaged"),
        (_packed({"reads": [], "writes": [[1, 6, 8, "x"]], "segments": []}), "expected a whole number"),
    ],
)
def test_a_damaged_header_is_refused(work: Work, data: bytes, says: str) -> None:
    work.base.write_bytes(b"base")
    work.patch.write_bytes(data)
    with pytest.raises(IntegrityError) as caught:
        work.apply()
    assert says in str(caught.value)


def test_parameters_that_zlib_refuses_are_refused(work: Work) -> None:
    work.base.write_bytes(b"base")
    work.patch.write_bytes(_packed({"reads": [[4, 0]], "writes": [[4, 77, 8, 0]], "segments": [[4, 0, 4, 0]]}))
    with pytest.raises(IntegrityError) as caught:
        work.apply()
    assert str(caught.value).startswith("the patch does not fit its base: ")


def test_the_fingerprint_is_that_of_zlib_as_it_is_everywhere() -> None:
    # Where this fails, another compressor is at work, and changed blobs are sent whole.
    assert fingerprint() == RUNTIME_FINGERPRINT
