"""How a bundle is cut into volumes: a function of its manifest and of the size of a volume alone.

A volume is a tar that begins with the whole head of the bundle, names itself in `volume.json`, and then holds some
entries of the bundle, whole or from one 16 MiB border to another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from bundler.errors import IntegrityError, RecipeError
from bundler.model.descriptor import CHUNK_BYTES
from bundler.model.document import Fields, parse_json
from bundler.model.manifest import Entry, Manifest

FORMAT = "ferry/volume/v1"
NAME = "volume.json"
# The label is filled up with spaces, so that the room for data does not follow from the number of volumes.
LABEL_BYTES = 512
_BLOCK = 512
_END = 2 * _BLOCK


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """`length` bytes of an entry from `start` on."""

    entry: Entry
    start: int
    length: int

    @property
    def name(self) -> str:
        """Its name in a tar: the entry's own when it is whole."""
        whole = self.start == 0 and self.length == self.entry.size
        return self.entry.name if whole else f"{self.entry.name}@{self.start:015d}"

    @property
    def tar_bytes(self) -> int:
        """What it takes in a tar: header, data, padding."""
        return _BLOCK + self.length + -self.length % _BLOCK


@dataclass(frozen=True, kw_only=True, slots=True)
class Label:
    """Which volume this is: `number` from 1 to `count`, cut at `volume_bytes`, of the bundle with this manifest."""

    manifest_sha256: str
    volume_bytes: int
    number: int
    count: int


def format_label(label: Label) -> bytes:
    """Return the content of `volume.json`."""
    document = {
        "format": FORMAT,
        "manifest_sha256": label.manifest_sha256,
        "volume_bytes": label.volume_bytes,
        "number": label.number,
        "count": label.count,
    }
    return json.dumps(document, sort_keys=True).encode().ljust(LABEL_BYTES - 1) + b"\n"


def parse_label(data: bytes) -> Label:
    """Take a label; what it claims is not yet believed.

    Raises:
        IntegrityError: it is none, or not in the one form that it can have.
    """
    fields = Fields(parse_json(data, place=NAME, error=IntegrityError), place=NAME, error=IntegrityError)
    if (form := fields.text("format")) != FORMAT:
        raise fields.refuse("format", f'expected "{FORMAT}", got "{form}"', "use a Ferry that knows this format")
    label = Label(
        manifest_sha256=fields.hex("manifest_sha256"),
        volume_bytes=fields.integer("volume_bytes", least=1),
        number=fields.integer("number", least=1),
        count=fields.integer("count", least=1),
    )
    if format_label(label) != data:
        raise IntegrityError("expected a label in its one form, it says more or says it otherwise", place=NAME)
    return label


def cut(manifest: Manifest, head_bytes: int, volume_bytes: int) -> tuple[tuple[Part, ...], ...]:
    """Return the parts of each volume, filled in the order of the manifest.

    `head_bytes` is the length of the bundle's head, `volume_bytes` the most that a volume may have.

    Raises:
        RecipeError: an entry that cannot be cut does not fit into a volume of this size.
    """
    room = volume_bytes - head_bytes - _BLOCK - LABEL_BYTES - _END
    largest = max(_BLOCK + piece.length + -piece.length % _BLOCK for piece in _pieces(manifest))
    if largest > room:
        least = volume_bytes - room + largest
        raise RecipeError(
            f"expected volumes of at least {least} bytes for this bundle, got {volume_bytes}", place="--size"
        )
    volumes: list[list[Part]] = [[]]
    left = room
    for piece in _pieces(manifest):
        joined = _join(volumes[-1], piece)
        cost = joined.tar_bytes - volumes[-1][-1].tar_bytes if joined else piece.tar_bytes
        if cost > left:
            volumes.append([])
            left, joined, cost = room, None, piece.tar_bytes
        if joined:
            volumes[-1][-1] = joined
        else:
            volumes[-1].append(piece)
        left -= cost
    return tuple(map(tuple, volumes))


def _pieces(manifest: Manifest) -> Iterator[Part]:
    """Yield what cannot be cut further: entries, and the chunks of those that have digests of their chunks."""
    for entry in manifest.entries:
        if not entry.chunks:
            yield Part(entry=entry, start=0, length=entry.size)
        for index in range(len(entry.chunks)):
            start = index * CHUNK_BYTES
            yield Part(entry=entry, start=start, length=min(CHUNK_BYTES, entry.size - start))


def _join(parts: list[Part], piece: Part) -> Part | None:
    """Return the last part with a piece that follows it in the same entry."""
    if not parts or parts[-1].entry is not piece.entry or parts[-1].start + parts[-1].length != piece.start:
        return None
    return Part(entry=piece.entry, start=parts[-1].start, length=parts[-1].length + piece.length)
