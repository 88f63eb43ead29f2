"""A patch between two blobs: frames of zstd that look at the part of the base where the same content stands."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from mmap import ACCESS_READ, MADV_DONTNEED, mmap
from pathlib import Path
from typing import BinaryIO

from backports import zstd

from bundler.delta.format import (
    BACK_BYTES,
    LEAST_PREFIX_BYTES,
    REACH_BYTES,
    SEGMENT_BYTES,
    WINDOW_LOG,
    Header,
    Segment,
    format_header,
)
from bundler.delta.plain import find_plain, write_base, write_result

# A change of how patches are made must not find what an older Ferry remembered.
GENERATION = f"2 {zstd.zstd_version}"
_LEVEL = 9
_PIECE_BYTES = 1024 * 1024
_SAMPLES = 8
_SAMPLE_BYTES = 48
_VARIED = 12
_MOST_MISSES = 3
_ALIKE_SAMPLES = 24
# How far from where it is expected a sample is looked for.
_FAR_BYTES = 64 * 1024 * 1024


def make_patch(base: memoryview, result: memoryview, work: Path, write: Callable[[bytes], object]) -> bool:
    """Write the patch that makes `result` out of `base`, and say so; False where there is none to write.

    There is none where nothing is alike, or the blobs are of too many pieces. The same blobs give the same bytes.
    Neither may be empty. Plain forms of both stand in `work` meanwhile; besides what the system maps of files and takes
    back at will, memory is bounded by 64 MiB for each core.
    """
    plain = find_plain(base, result)
    with (
        _written(work, lambda out: write_base(base, plain, out)) as base_plain,
        _written(work, lambda out: write_result(result, plain, out)) as result_plain,
        tempfile.TemporaryFile(dir=work) as frames,
    ):
        _forget(base.obj, result.obj)
        if not _alike(base_plain, result_plain):
            return False
        segments = []
        for segment, frame in _segments(base_plain, result_plain):
            segments.append(segment)
            frames.write(frame)
            _forget(base_plain, result_plain)
        header = format_header(Header(plain.reads, plain.writes, tuple(segments)))
        if header is None:
            return False
        write(header)
        frames.seek(0)
        while piece := frames.read(_PIECE_BYTES):
            write(piece)
    return True


def _forget(*held: object) -> None:
    """Give pages of files back to the system: what is read again comes from its cache."""
    for one in held:
        if isinstance(one, mmap):
            one.madvise(MADV_DONTNEED)


def _alike(base: mmap, result: mmap) -> bool:
    """Say whether any of some samples of a large result is in the base; a small one is always worth a try."""
    if len(result) <= SEGMENT_BYTES:
        return True
    places = range(0, len(result), max(1, len(result) // _ALIKE_SAMPLES))
    return any(_look(base, result[at : at + _SAMPLE_BYTES], at) >= 0 for at in places)


@contextmanager
def mapped(path: Path) -> Iterator[memoryview]:
    """Give the bytes of a file that is not empty as memory, which the disk holds."""
    with path.open("rb") as stream:
        # It goes with its last user: closed by name, it would refuse while an error's frames still hold a part of it.
        yield memoryview(mmap(stream.fileno(), 0, access=ACCESS_READ))


@contextmanager
def _written(work: Path, fill: Callable[[BinaryIO], None]) -> Iterator[mmap]:
    """Give what `fill` writes as memory, which the disk holds; it is never empty."""
    with tempfile.TemporaryFile(dir=work) as out:
        fill(out)
        out.flush()
        yield mmap(out.fileno(), 0, access=ACCESS_READ)


def _segments(base: mmap, result: mmap) -> Iterator[tuple[Segment, bytes]]:
    """Yield the segments with their frames, made beside each other."""
    cores = os.cpu_count() or 1
    with ThreadPoolExecutor(cores) as pool:
        waiting = _places(base, result)
        running = [pool.submit(_frame, base, result, *place) for place in islice(waiting, cores)]
        while running:
            yield running.pop(0).result()
            running += [pool.submit(_frame, base, result, *place) for place in islice(waiting, 1)]


def _frame(base: mmap, result: mmap, at: int, length: int, start: int, base_length: int) -> tuple[Segment, bytes]:
    data = result[at : at + length]
    prefix = base[start : start + base_length]
    if data == prefix:
        return Segment(length, start, base_length, 0), b""
    if base_length < LEAST_PREFIX_BYTES:
        prefix, base_length = b"", 0
    parameter = zstd.CompressionParameter
    packer = zstd.ZstdCompressor(
        zstd_dict=zstd.ZstdDict(prefix, is_raw=True).as_prefix if prefix else None,
        options={
            parameter.compression_level: _LEVEL,
            parameter.window_log: max(10, min(WINDOW_LOG, (length + base_length).bit_length())),
            parameter.enable_long_distance_matching: 1,
            parameter.checksum_flag: 0,
        },
    )
    packer.set_pledged_input_size(length)
    frame = packer.compress(data, mode=zstd.ZstdCompressor.FLUSH_FRAME)
    return Segment(length, start, base_length, len(frame)), frame


def _places(base: mmap, result: mmap) -> Iterator[tuple[int, int, int, int]]:
    """Yield offset and length of each segment of the result, and those of the part of the base that it looks at."""
    shift, furthest = 0, 0
    for at in range(0, len(result), SEGMENT_BYTES):
        length = min(SEGMENT_BYTES, len(result) - at)
        shift = _shift(base, result, at, length, shift)
        expected = at + shift
        if expected >= 0 and expected + BACK_BYTES >= furthest and _equal(base, result, at, expected, length):
            start, base_length = expected, length
        else:
            before = (REACH_BYTES - SEGMENT_BYTES) // 2
            start = max(0, furthest - BACK_BYTES, min(expected - before, len(base) - REACH_BYTES))
            start = min(start, len(base))
            base_length = min(REACH_BYTES, len(base) - start)
        furthest = max(furthest, start)
        yield at, length, start, base_length


def _equal(base: mmap, result: mmap, at: int, expected: int, length: int) -> bool:
    if expected + length > len(base):
        return False
    return base[expected : expected + length] == result[at : at + length]


def _shift(base: mmap, result: mmap, at: int, length: int, before: int) -> int:
    """Return how much further the base has the content of a segment, told from samples; `before` when none is there."""
    found: list[int] = []
    misses = 0
    for index in range(_SAMPLES):
        place = at + (2 * index + 1) * length // (2 * _SAMPLES)
        sample = result[place : place + _SAMPLE_BYTES]
        if len(set(sample)) < _VARIED or misses == _MOST_MISSES:
            continue
        expected = place + (found[-1] if found else before)
        met = _look(base, sample, expected)
        if met < 0:
            misses += 1
        else:
            found.append(met - place)
    return sorted(found)[len(found) // 2] if found else before


def _look(base: mmap, sample: bytes, expected: int) -> int:
    """Return where the base has a sample, as expected or further away; -1 when it has it nowhere near."""
    if expected >= 0 and base[expected : expected + len(sample)] == sample:
        return expected
    return base.find(sample, max(0, expected - _FAR_BYTES), max(0, expected + _FAR_BYTES))
