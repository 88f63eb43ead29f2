"""A bundle in volumes: cut to the size of a medium, each checked alone, taken in any order, never joined.

A volume is believed step by step as a bundle is (see `bundler.verify`): the same signed manifest stands at its head,
its label says which part of the cut it is, and the cut follows from the manifest and the size of a volume alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Protocol

from bundler.archive import BLOCK, Head, Span, header, medium, read_head, spans
from bundler.attest import Attested
from bundler.checks import Checks, Reading
from bundler.cut import Body, Cut, cut_of, make_cut
from bundler.errors import IntegrityError, RecipeError
from bundler.frame import Frame
from bundler.model.manifest import Manifest
from bundler.model.volume import LABEL_BYTES, NAME, Label, parse_label
from bundler.parity import check_parity, encode
from bundler.source import FileSource, Source, as_stream, read_at, readable
from bundler.store import PIECE_BYTES
from bundler.verify import Policy, open_bundle, read_manifest, verify

# What a file system or a medium takes, in bytes; a little less than a disc holds, for the file system on it.
SIZES = {"4g": 4 * 1024**3 - 512, "dvd": 4_690_000_000, "bd": 24_900_000_000}


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


def volume_name(bundle: str, number: int, count: int, parity: int = 0) -> str:
    """Return the file name of a volume: `agentscope.tar` becomes `agentscope.vol02of11.tar`.

    Those behind `count` are of parity: `agentscope.parity1of2.tar`.
    """
    stem = bundle.removesuffix(".tar")
    if number > count:
        return f"{stem}.parity{number - count:0{len(str(parity))}d}of{parity}.tar"
    return f"{stem}.vol{number:0{len(str(count))}d}of{count}.tar"


class Form(Protocol):
    """What volumes are written as, when it is not plain files."""

    def room(self, volume_bytes: int, head: Head, manifest: Manifest) -> int:
        """Return how large a volume may be whose file may have `volume_bytes`."""

    def file_name(self, name: str) -> str:
        """Return the name of the file that holds the volume `name`."""

    def wrap(self, part: Path, name: str, cut: Cut, number: int, install_script: bytes) -> int:
        """Make the file without the bytes of the volume, and return where they belong."""


def split(
    bundle: Path,
    directory: Path,
    *,
    volume_bytes: int,
    policy: Policy,
    now: datetime,
    reading: Reading,
    parity: int = 0,
    form: Form | None = None,
) -> tuple[Path, ...]:
    """Verify a bundle and write its volumes into a directory; return their paths in order, those of parity last.

    Raises:
        TrustError, IntegrityError: the bundle is refused.
        RecipeError: the size is too small for a part that cannot be cut, or there are too many volumes for parity.
        HostError: a volume cannot be written, or is there already. No volume is left then.
    """
    verified = verify(bundle, policy, now=now, reading=reading)
    with FileSource(bundle) as source:
        head = read_head(as_stream(source))
        if head.manifest != verified.manifest_bytes:
            raise IntegrityError("the bundle changed while it was split", place=str(bundle))
        room = form.room(volume_bytes, head, verified.manifest) if form else volume_bytes
        try:
            cut = make_cut(verified.manifest, head, room, parity)
        except RecipeError as error:
            if form:
                error.hint = error.hint or f"files take {volume_bytes - room} bytes more than their volumes"
            raise
        places = {span.entry.name: span.data for span in spans(verified.manifest, head.end)}
        bodies = [Body(source, parts, places) for parts in cut.volumes]
        frame = partial(_frame, bundle.name, directory, cut, form, _install_script(source, cut, places))
        written = ExitStack()
        paths: list[Path] = []
        with written:
            for number, body in enumerate(bodies, 1):
                _fill([number], frame, partial(_write_body, cut, number, body, reading.advance), paths, written)
            if parity:
                numbers = range(len(bodies) + 1, cut.shape.total + 1)
                _fill(numbers, frame, partial(_write_parity, cut, bodies, reading.advance), paths, written)
            written.pop_all()
    return tuple(paths)


def _fill(
    numbers: Iterable[int],
    make: Callable[[int], Frame],
    write: Callable[[Sequence[Frame]], None],
    paths: list[Path],
    undo: ExitStack,
) -> None:
    """Write files and give them their names, or leave none of them."""
    frames = []
    with ExitStack() as stack:
        for number in numbers:
            frames.append(make(number))
            stack.callback(frames[-1].abandon)
        write(frames)
        for frame in frames:
            frame.finish()
            paths.append(frame.path)
            undo.callback(frame.path.unlink)


def _install_script(source: Source, cut: Cut, places: Mapping[str, int]) -> bytes:
    script = next(entry for entry in cut.manifest.entries if entry.name == "install.sh")
    return read_at(source, script.size, places[script.name])


def _frame(bundle: str, directory: Path, cut: Cut, form: Form | None, install_script: bytes, number: int) -> Frame:
    name = volume_name(bundle, number, len(cut.volumes), cut.shape.parity)
    if form is None:
        return Frame(directory / name)
    wrap = partial(form.wrap, name=name, cut=cut, number=number, install_script=install_script)
    return Frame(directory / form.file_name(name), wrap)


def _write_body(cut: Cut, number: int, body: Body, advance: Callable[[int], None], frames: Sequence[Frame]) -> None:
    """Write a volume that holds a part of the bundle."""
    (frame,) = frames
    start = cut.body_at(number)
    frame.write(0, cut.before(number, b""))
    for at in range(0, body.size, PIECE_BYTES):
        piece = read_at(body, min(PIECE_BYTES, body.size - at), at)
        if len(piece) != min(PIECE_BYTES, body.size - at):
            raise IntegrityError("the bundle changed while it was split")
        frame.write(start + at, piece)
        advance(len(piece))
    frame.write(start + body.size, cut.behind(number, b""))


def _write_parity(cut: Cut, bodies: Sequence[Source], advance: Callable[[int], None], frames: Sequence[Frame]) -> None:
    """Compute the volumes of parity and write them."""
    first = len(bodies) + 1

    def write(number: int, offset: int, data: bytes) -> None:
        frames[number - first].write(cut.body_at(number) + offset, data)

    index = encode(bodies, cut.shape, write, advance)
    for number, frame in enumerate(frames, first):
        frame.write(0, cut.before(number, index))
        frame.write(cut.body_at(number) + cut.shape.shard_bytes, cut.behind(number, index))


def verify_volume(
    path: Path,
    policy: Policy,
    *,
    now: datetime,
    reading: Reading | None = None,
) -> VerifiedVolume:
    """Check one volume against the signed manifest at its head; `reading` takes part on the way.

    One of parity is checked in itself: nobody signs it, what it heals is checked.

    Raises:
        TrustError, IntegrityError: it is refused.
    """
    with FileSource(path) as source:
        return check_volume(source, policy, now=now, reading=reading or Reading(), right=set())


def check_volume(
    source: Source,
    policy: Policy,
    *,
    now: datetime,
    reading: Reading,
    right: set[str],
) -> VerifiedVolume:
    """Check a volume wherever its bytes are; parts named in `right` are passed over, those that are right added.

    Raises:
        TrustError, IntegrityError: it is refused.
    """
    head, label = read_start(source)
    manifest, attested = read_manifest(head, policy, now=now)
    check_label(head, label)
    reading.started(manifest)
    cut = cut_of(manifest, head, label)
    _check_size(source, cut.size(label.number))
    if label.is_parity:
        check_parity(source, cut, label, reading.advance)
    else:
        checks = Checks(source, manifest, policy.algorithm, reading)
        try:
            all_spans = cut.spans(label.number)
            checks.run([span for span in all_spans if span.part.name not in right], _end(all_spans))
        finally:
            right |= checks.right
    return VerifiedVolume(path=Path(source.name), label=label, manifest=manifest, head=head, attested=attested)


def read_start(source: Source) -> tuple[Head, Label]:
    """Read head and label of a volume, unchecked.

    Raises:
        IntegrityError: it is no volume.
    """
    with readable(source.name):
        head = read_head(as_stream(source))
        block, data = read_at(source, BLOCK, head.end), read_at(source, LABEL_BYTES, head.end + BLOCK)
    if block != header(NAME, LABEL_BYTES):
        raise IntegrityError(f'expected the entry "{NAME}" behind the head, this is no volume', place=source.name)
    return head, parse_label(data)


def check_label(head: Head, label: Label) -> None:
    """Check that a label is of the bundle whose head stands before it.

    Raises:
        IntegrityError: it is of another bundle.
    """
    digest = hashlib.sha256(head.manifest).hexdigest()
    if label.manifest_sha256 != digest:
        raise IntegrityError(
            f"expected a volume of the bundle with manifest {digest}, its label says {label.manifest_sha256}",
            place=NAME,
            hint="volumes of two bundles were mixed up: carry this one again",
        )


def read_label(path: Path) -> Label:
    """Read which volume a file says it is, unchecked.

    Raises:
        IntegrityError: it is no volume.
    """
    with FileSource(path) as source:
        return read_start(source)[1]


def _end(all_spans: Sequence[Span]) -> int:
    last = all_spans[-1]
    return last.header + last.part.tar_bytes


def _check_size(source: Source, expected: int) -> None:
    if expected != source.size:
        kind = "cut short" if source.size < expected else "followed by other data"
        raise IntegrityError(
            f"expected {expected} bytes, got {source.size}: the volume is {kind}", hint="carry this volume again"
        )
