"""Ways to spoil what stands behind the head of a bundle or a volume: headers, padding, order, end."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

from bundler.archive import BLOCK, END, Span, header, lay_out, padding, read_head, spans
from bundler.model.descriptor import MTIME
from bundler.model.manifest import Manifest, parse_manifest
from bundler.model.volume import LABEL_BYTES, NAME, cut, parse_label

Spoil = Callable[[bytes], bytes]
SIZE_FIELD = slice(124, 136)


def manifest_of(data: bytes) -> Manifest:
    """Return the manifest of a bundle or a volume."""
    return parse_manifest(read_head(io.BytesIO(data)).manifest)


def all_spans(data: bytes) -> list[Span]:
    """Return where the entries of a bundle, or of one volume, stand."""
    end, manifest = read_head(io.BytesIO(data)).end, manifest_of(data)
    if data[end : end + BLOCK] != header(NAME, LABEL_BYTES):
        return list(spans(manifest, end))
    label = parse_label(data[end + BLOCK : end + BLOCK + LABEL_BYTES])
    parts = cut(manifest, end, label.volume_bytes)[label.number - 1]
    return list(lay_out(parts, end + BLOCK + LABEL_BYTES))


def blobs(data: bytes) -> list[Span]:
    """Return where the blobs stand."""
    return [span for span in all_spans(data) if span.entry.is_blob]


def end_of(span: Span) -> int:
    """Return where the next entry begins."""
    return span.header + span.part.tar_bytes


def flip(data: bytes, position: int) -> bytes:
    """Flip one bit."""
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def summed(block: bytes) -> bytes:
    """Return a header with its checksum."""
    total = sum(block[:148]) + 8 * 0x20 + sum(block[156:])
    return block[:148] + b"%06o\0 " % total + block[156:]


def with_header(block: Callable[[bytes], bytes]) -> Spoil:
    """Change the header of the first blob."""

    def spoil(data: bytes) -> bytes:
        span = blobs(data)[0]
        return data[: span.header] + block(data[span.header : span.data]) + data[span.data :]

    return spoil


def field(at: int, value: bytes) -> Spoil:
    """Change bytes of the header of the first blob; its checksum is right."""
    return with_header(lambda block: summed(block[:at] + value + block[at + len(value) :]))


def named(name: str | Callable[[str], str]) -> Spoil:
    """Give the first blob another name."""

    def spoil(data: bytes) -> bytes:
        span = blobs(data)[0]
        new = name if isinstance(name, str) else name(span.entry.name)
        return data[: span.header] + header(new, span.entry.size) + data[span.data :]

    return spoil


def in_place(kind: bytes, content: bytes = b"", *, link: str = "", name: str = "") -> Spoil:
    """Put a member of another kind where the first blob stands, of the same length in the tar."""

    def spoil(data: bytes) -> bytes:
        span = blobs(data)[0]
        info = tarfile.TarInfo(name or span.entry.name)
        info.type, info.linkname, info.mode, info.mtime = kind, link, 0o644, MTIME
        info.size = len(content)
        body = content.ljust(span.entry.size, b"\0") if content else data[span.data : span.data + span.entry.size]
        return data[: span.header] + info.tobuf(tarfile.GNU_FORMAT) + body + data[span.data + span.entry.size :]

    return spoil


def pax(**records: str) -> bytes:
    """Return records of a pax header."""
    out = b""
    for name, value in records.items():
        text = f" {name.replace('__', '.')}={value}\n".encode()
        size = len(text) + len(str(len(text)))
        out += str(size + (len(str(size)) > len(str(len(text))))).encode() + text
    return out


def exchanged(data: bytes, first: Span, second: Span) -> bytes:
    """Return a tar with two entries of the same length in each other's place."""
    one, two = data[first.header : end_of(first)], data[second.header : end_of(second)]
    assert len(one) == len(two)
    return data[: first.header] + two + data[end_of(first) : second.header] + one + data[end_of(second) :]


def swap(data: bytes) -> bytes:
    """Exchange two blobs."""
    first, second = blobs(data)[:2]
    return exchanged(data, first, second)


def twice(data: bytes) -> bytes:
    """Put a blob in the place of another one too."""
    first, second = blobs(data)[:2]
    return data[: second.header] + data[first.header : end_of(first)] + data[end_of(second) :]


def left_out(data: bytes) -> bytes:
    """Leave a blob out, and make the file as long as before."""
    span = blobs(data)[0]
    return data[: span.header] + data[end_of(span) :] + bytes(span.part.tar_bytes)


def extra_for_end(data: bytes) -> bytes:
    """Put one more entry where the end must be."""
    body = b"unlisted".ljust(BLOCK, b"\0")
    return data[: -len(END)] + header("unlisted", 8) + body


def at_end(more: bytes) -> Spoil:
    """Put more behind the end."""
    return lambda data: data + more


def flip_each_blob(data: bytes) -> bytes:
    """Flip a bit in every blob."""
    for span in blobs(data):
        data = flip(data, span.data)
    return data


def body_of(other: bytes) -> Spoil:
    """Put the entries of another bundle behind the head."""

    def spoil(data: bytes) -> bytes:
        head = read_head(io.BytesIO(data))
        return data[: head.end] + other[read_head(io.BytesIO(other)).end :]

    return spoil


def pad_flip(data: bytes) -> bytes:
    """Flip a bit in the padding of a blob."""
    span = next(one for one in blobs(data) if padding(one.part.length))
    return flip(data, span.data + span.part.length)
