"""Two blobs in the form in which they are compared: what is deflated in either alone stands inflated."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import BinaryIO

from bundler.delta.deflate import find_parameters, inflate
from bundler.delta.format import Read, Write
from bundler.delta.streams import Stream, find_streams

# When none of the first streams can be made again, the writer was not zlib, and the rest is not tried.
_TRIED = 16


@dataclass(frozen=True, slots=True)
class Plain:
    """How the base is read and how the result is written; `stored` are the sizes that the writes have in the result."""

    reads: tuple[Read, ...]
    writes: tuple[Write, ...]
    stored: tuple[int, ...]


def find_plain(base: memoryview, result: memoryview) -> Plain:
    """Return the plain forms of two blobs; streams that both have stay deflated in both."""
    base_streams, result_streams = find_streams(base), find_streams(result)
    known = {stream.digest(base) for stream in base_streams}
    shared = known & {stream.digest(result) for stream in result_streams}
    stored, writes = _writes(result, [one for one in result_streams if one.digest(result) not in shared])
    reads = _reads(base, [one for one in base_streams if one.digest(base) not in shared])
    return Plain(reads=reads, writes=writes, stored=stored)


def _writes(data: memoryview, streams: Sequence[Stream]) -> tuple[tuple[int, ...], tuple[Write, ...]]:
    stored, writes, at = [], [], 0
    for stream, write in zip(streams, _measured(data, streams), strict=False):
        if write is not None:
            stored += [stream.start - at, stream.length]
            writes += [Write(stream.start - at), write]
            at = stream.start + stream.length
    return (*stored, len(data) - at), (*writes, Write(len(data) - at))


def _measured(data: memoryview, streams: Sequence[Stream]) -> list[Write | None]:
    """Return how to make each stream again."""
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        found = list(pool.map(lambda one: _again(one.of(data)), streams[:_TRIED]))
        if any(found):
            found += pool.map(lambda one: _again(one.of(data)), streams[_TRIED:])
    return found


def _again(stream: memoryview) -> Write | None:
    """Return how to make a stream again, None when zlib does not."""
    try:
        parameters = find_parameters(stream)
        return Write(sum(map(len, inflate(stream))), parameters) if parameters else None
    except zlib.error:
        return None


def _reads(data: memoryview, streams: Sequence[Stream]) -> tuple[Read, ...]:
    reads, at = [], 0
    for stream in streams:
        if _inflates(stream.of(data)):
            reads += [Read(stream.start - at), Read(stream.length, inflated=True)]
            at = stream.start + stream.length
    return (*reads, Read(len(data) - at))


def _inflates(stream: memoryview) -> bool:
    try:
        return sum(map(len, inflate(stream))) >= 0
    except zlib.error:
        return False


def write_base(data: memoryview, plain: Plain, out: BinaryIO) -> None:
    """Write the plain bytes of a base."""
    _write(data, [(one.length, one.inflated) for one in plain.reads], out)


def write_result(data: memoryview, plain: Plain, out: BinaryIO) -> None:
    """Write the plain bytes of a result."""
    parts = zip(plain.stored, plain.writes, strict=True)
    _write(data, [(size, one.parameters is not None) for size, one in parts], out)


def _write(data: memoryview, parts: Sequence[tuple[int, bool]], out: BinaryIO) -> None:
    at = 0
    for size, inflated in parts:
        stored = data[at : at + size]
        at += size
        if not inflated:
            out.write(stored)
            continue
        for piece in inflate(stored):
            out.write(piece)
