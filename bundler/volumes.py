"""A bundle in volumes: cut to the size of a medium, each checked alone, taken in any order, never joined.

A volume is believed step by step as a bundle is (see `bundler.verify`): the same signed manifest stands at its head,
its label says which part of the cut it is, and the cut follows from the manifest and the size of a volume alone.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from bundler.archive import BLOCK, END, Head, Span, header, lay_out, medium, pack_head, padding, read_head, spans
from bundler.attest import Attested
from bundler.checks import Checks, Reading
from bundler.errors import HostError, IntegrityError, RecipeError
from bundler.model.manifest import Manifest
from bundler.model.volume import LABEL_BYTES, NAME, Label, Part, cut, format_label, parse_label
from bundler.store import PIECE_BYTES
from bundler.verify import Policy, open_bundle, read_manifest, verify

# What a file system or a medium takes, in bytes; a little less than a disc holds, for the file system on it.
SIZES = {"4g": 4 * 1024**3 - 512, "dvd": 4_690_000_000, "bd": 24_900_000_000}
_LABEL_TAR_BYTES = BLOCK + LABEL_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifiedVolume:
    """A volume of which every byte is right; only `verify_volume` makes one."""

    path: Path
    label: Label
    manifest: Manifest
    head: Head
    attested: Attested


def is_volume(path: Path) -> bool:
    """Say whether a file with the head of a bundle is one volume of it; what it says is not believed.

    Raises:
        IntegrityError: it does not begin as a bundle does.
    """
    with open_bundle(path) as stream:
        end = read_head(stream).end
        with medium(stream):
            stream.seek(end)
            return stream.read(BLOCK) == header(NAME, LABEL_BYTES)


def volume_name(bundle: str, number: int, count: int) -> str:
    """Return the file name of a volume: `agentscope.tar` becomes `agentscope.vol02of11.tar`."""
    stem = bundle.removesuffix(".tar")
    return f"{stem}.vol{number:0{len(str(count))}d}of{count}.tar"


def split(
    bundle: Path,
    directory: Path,
    *,
    volume_bytes: int,
    policy: Policy,
    now: datetime,
    reading: Reading,
) -> tuple[Path, ...]:
    """Verify a bundle and write its volumes into a directory; return their paths in order.

    Raises:
        TrustError, IntegrityError: the bundle is refused.
        RecipeError: the size is too small for a part that cannot be cut.
        HostError: a volume cannot be written, or is there already. No volume is left then.
    """
    verified = verify(bundle, policy, now=now, reading=reading)
    with open_bundle(bundle) as stream:
        head = read_head(stream)
        if head.manifest != verified.manifest_bytes:
            raise IntegrityError("the bundle changed while it was split", place=str(bundle))
        volumes = cut(verified.manifest, head.end, volume_bytes)
        places = {span.entry.name: span.data for span in spans(verified.manifest, head.end)}
        digest = hashlib.sha256(head.manifest).hexdigest()
        written: list[Path] = []
        try:
            for number, parts in enumerate(volumes, 1):
                label = Label(manifest_sha256=digest, volume_bytes=volume_bytes, number=number, count=len(volumes))
                path = directory / volume_name(bundle.name, number, len(volumes))
                _write(path, _volume(stream, head, label, parts, places, reading.advance))
                written.append(path)
        except BaseException:
            for path in written:
                path.unlink(missing_ok=True)
            raise
    return tuple(written)


def _volume(
    stream: BinaryIO,
    head: Head,
    label: Label,
    parts: Sequence[Part],
    places: dict[str, int],
    advance: Callable[[int], None],
) -> Iterator[bytes]:
    """Yield the bytes of a volume."""
    yield pack_head(head.entries())
    yield header(NAME, LABEL_BYTES) + format_label(label)
    for part in parts:
        yield header(part.name, part.length)
        at, end = places[part.entry.name] + part.start, places[part.entry.name] + part.start + part.length
        while at < end:
            piece = os.pread(stream.fileno(), min(PIECE_BYTES, end - at), at)
            if not piece:
                raise IntegrityError("the bundle changed while it was split")
            yield piece
            advance(len(piece))
            at += len(piece)
        yield bytes(padding(part.length))
    yield END


def _write(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file beside its final place, sync it, then give it its name; one that is there stays."""
    if path.exists():
        raise HostError("a volume is there already", place=str(path), hint="remove it, or choose another directory")
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("xb", buffering=0) as out:
            for piece in pieces:
                view = memoryview(piece)
                while view:
                    view = view[out.write(view) :]
            os.fsync(out.fileno())
        part.rename(path)
    except OSError as error:
        raise HostError(f"a volume cannot be written: {error.strerror}", place=str(path)) from error
    finally:
        part.unlink(missing_ok=True)


def verify_volume(
    path: Path,
    policy: Policy,
    *,
    now: datetime,
    reading: Reading | None = None,
) -> VerifiedVolume:
    """Check one volume against the signed manifest at its head; `reading` takes part on the way.

    Raises:
        TrustError, IntegrityError: it is refused.
    """
    reading = reading or Reading()
    with open_bundle(path) as stream:
        head = read_head(stream)
        manifest, attested = read_manifest(head, policy, now=now)
        reading.started(manifest)
        label = _label(stream, head)
        all_spans = list(lay_out(_parts(manifest, head, label), head.end + _LABEL_TAR_BYTES))
        _check_size(stream, all_spans)
        Checks(stream, manifest, policy.algorithm, reading).run(all_spans, _end(all_spans))
    return VerifiedVolume(path=path, label=label, manifest=manifest, head=head, attested=attested)


def read_label(path: Path) -> Label:
    """Read which volume a file says it is, unchecked.

    Raises:
        IntegrityError: it is no volume.
    """
    with open_bundle(path) as stream:
        return _label(stream, read_head(stream))


def _label(stream: BinaryIO, head: Head) -> Label:
    with medium(stream):
        stream.seek(head.end)
        block, data = stream.read(BLOCK), stream.read(LABEL_BYTES)
    if block != header(NAME, LABEL_BYTES):
        raise IntegrityError(f'expected the entry "{NAME}" behind the head, this is no volume', place=str(stream.name))
    label = parse_label(data)
    digest = hashlib.sha256(head.manifest).hexdigest()
    if label.manifest_sha256 != digest:
        raise IntegrityError(
            f"expected a volume of the bundle with manifest {digest}, its label says {label.manifest_sha256}",
            place=NAME,
            hint="volumes of two bundles were mixed up: carry this one again",
        )
    return label


def _parts(manifest: Manifest, head: Head, label: Label) -> tuple[Part, ...]:
    """Return what a volume must hold.

    Raises:
        IntegrityError: no such cut gives such a volume.
    """
    try:
        volumes = cut(manifest, head.end, label.volume_bytes)
    except RecipeError as error:
        raise IntegrityError(error.message, place=NAME) from error
    if label.count != len(volumes) or label.number > len(volumes):
        raise IntegrityError(
            f"expected one of {len(volumes)} volumes, the label says {label.number} of {label.count}", place=NAME
        )
    return volumes[label.number - 1]


def _end(all_spans: Sequence[Span]) -> int:
    last = all_spans[-1]
    return last.header + last.part.tar_bytes


def _check_size(stream: BinaryIO, all_spans: Sequence[Span]) -> None:
    expected, got = _end(all_spans) + len(END), os.fstat(stream.fileno()).st_size
    if expected != got:
        kind = "cut short" if got < expected else "followed by other data"
        raise IntegrityError(
            f"expected {expected} bytes, got {got}: the volume is {kind}", hint="carry this volume again"
        )
