"""The file of a patch: how the base is read, how the result is written, and zstd frames between the two.

`bundler/FORMAT.md` specifies it.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from typing import Any, BinaryIO

from backports import zstd

from bundler.delta.deflate import Parameters
from bundler.errors import IntegrityError

MAGIC = b"ferry/patch/v1\n"
# How much of the result one frame holds, how much of the base it may look at, and how far back from the furthest
# start the next one may begin: they bound the memory of who applies a patch.
SEGMENT_BYTES = 4 * 1024 * 1024
REACH_BYTES = 16 * 1024 * 1024
BACK_BYTES = 8 * 1024 * 1024
WINDOW_LOG = 25
# zstd takes no shorter prefix.
LEAST_PREFIX_BYTES = 8
_LENGTH = struct.Struct(">Q")
_MOST_HEADER_BYTES = 16 * 1024 * 1024
_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Read:
    """`length` stored bytes of the base, taken as they are or inflated."""

    length: int
    inflated: bool = False


@dataclass(frozen=True, slots=True)
class Write:
    """`length` plain bytes of the result, written as they are or deflated."""

    length: int
    parameters: Parameters | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """`length` plain bytes of the result, made of `base_length` plain bytes of the base from `base_start` on.

    `frame` is the size of the zstd frame that has these bytes as its prefix; 0: they are the result.
    """

    length: int
    base_start: int
    base_length: int
    frame: int


@dataclass(frozen=True, slots=True)
class Header:
    """All of a patch but its frames."""

    reads: tuple[Read, ...]
    writes: tuple[Write, ...]
    segments: tuple[Segment, ...]


def format_header(header: Header) -> bytes | None:
    """Return what stands before the frames, None where it is larger than a patch may have it."""
    document = {
        "reads": [[one.length, int(one.inflated)] for one in header.reads],
        "writes": [[one.length, *(one.parameters or ())] for one in header.writes],
        "segments": [[one.length, one.base_start, one.base_length, one.frame] for one in header.segments],
    }
    data = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    if len(data) > _MOST_HEADER_BYTES:
        return None
    packed = zstd.compress(data, level=19)
    return MAGIC + _LENGTH.pack(len(packed)) + packed


def read_header(stream: BinaryIO) -> Header:
    """Read what stands before the frames; the digest of the patch was checked.

    Raises:
        IntegrityError: it is no patch of this format.
    """
    magic = stream.read(len(MAGIC))
    if magic != MAGIC:
        raise IntegrityError("expected a patch in the format ferry/patch/v1", hint="use a Ferry that knows its format")
    try:
        (size,) = _LENGTH.unpack(stream.read(_LENGTH.size))
        document = json.loads(_unpacked(stream, size))
        header = Header(
            reads=tuple(_read(*one) for one in document["reads"]),
            writes=tuple(_write(*one) for one in document["writes"]),
            segments=tuple(_segment(*one) for one in document["segments"]),
        )
    except (struct.error, zstd.ZstdError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise IntegrityError(f"the header of the patch is damaged: {error}") from error
    _check(header)
    return header


def _unpacked(stream: BinaryIO, size: int) -> bytes:
    if size > _MOST_HEADER_BYTES:
        raise ValueError(f"{size} bytes are too many")
    unpacker = zstd.ZstdDecompressor()
    data = unpacker.decompress(stream.read(size), max_length=_MOST_HEADER_BYTES)
    if not unpacker.eof:
        raise ValueError("it is cut off, or too large")
    return data


def _read(length: Any, inflated: Any) -> Read:
    return Read(_number(length), bool(_number(inflated)))


def _write(length: Any, *parameters: Any) -> Write:
    return Write(_number(length), Parameters(*map(_number, parameters)) if parameters else None)


def _segment(length: Any, base_start: Any, base_length: Any, frame: Any) -> Segment:
    return Segment(_number(length), _number(base_start), _number(base_length), _number(frame))


def _number(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= _MOST:
        raise ValueError("expected a whole number")
    return value


def _check(header: Header) -> None:
    """Refuse what would take more memory than the format allows, or does not add up."""
    furthest = 0
    for index, one in enumerate(header.segments):
        fits = one.length <= SEGMENT_BYTES and one.base_length <= REACH_BYTES
        fits = fits and (one.frame == 0 or one.base_length == 0 or one.base_length >= LEAST_PREFIX_BYTES)
        if not fits or one.base_start + BACK_BYTES < furthest or (one.frame == 0 and one.length != one.base_length):
            raise IntegrityError("the header of the patch is damaged: a segment out of bounds", place=f"[{index}]")
        furthest = max(furthest, one.base_start)
    if sum(one.length for one in header.segments) != sum(one.length for one in header.writes):
        raise IntegrityError("the header of the patch is damaged: its sums differ")
