"""How a bundle is cut into volumes: a function of its manifest and of the size of a volume alone.

A volume is a tar that begins with the whole head of the bundle, names itself in `volume.json`, and then holds some
entries of the bundle, whole or from one 16 MiB border to another. These make its body, which parity is computed of.
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
# What one volume's bodies give for parity is computed and checked in stripes of this many bytes.
STRIPE_BYTES = 1024 * 1024
STRIPE_DIGEST_BYTES = 32
MOST_WITH_PARITY = 256


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
    """Which volume this is: `number` from 1 to `count`, cut at `volume_bytes`, of the bundle with this manifest.

    With `parity` there are as many volumes more, which heal others and are numbered from `count` + 1 on; their labels
    have the SHA-256 of the index of stripes.
    """

    manifest_sha256: str
    volume_bytes: int
    number: int
    count: int
    parity: int = 0
    index_sha256: str = ""

    @property
    def total(self) -> int:
        """How many volumes there are, those of parity too."""
        return self.count + self.parity

    @property
    def is_parity(self) -> bool:
        """Whether it holds no part of the bundle but parity."""
        return self.number > self.count

    @property
    def cut(self) -> tuple[str, int, int, int]:
        """What all volumes of one cut have in common."""
        return self.manifest_sha256, self.volume_bytes, self.count, self.parity


@dataclass(frozen=True, kw_only=True, slots=True)
class Shape:
    """How long the bodies of a cut are, in bytes, and what parity of them takes."""

    bodies: tuple[int, ...]
    parity: int

    @property
    def shard_bytes(self) -> int:
        """What a volume of parity holds: as much as the longest body; shorter ones count as filled up with zeros."""
        return max(self.bodies)

    @property
    def total(self) -> int:
        """How many volumes there are."""
        return len(self.bodies) + self.parity

    @property
    def stripes(self) -> int:
        """In how many stripes each body is."""
        return -(-self.shard_bytes // STRIPE_BYTES)

    @property
    def index_bytes(self) -> int:
        """What the digests of all stripes take."""
        return self.stripes * self.total * STRIPE_DIGEST_BYTES

    def body(self, number: int) -> int:
        """Return how long the body of a volume is."""
        return self.bodies[number - 1] if number <= len(self.bodies) else self.shard_bytes

    def stripe_bytes(self, number: int, stripe: int) -> int:
        """Return how much of a stripe a volume has itself."""
        return min(STRIPE_BYTES, max(0, self.body(number) - stripe * STRIPE_BYTES))


def shape_of(volumes: tuple[tuple[Part, ...], ...], parity: int) -> Shape:
    """Return the shape of a cut."""
    return Shape(bodies=tuple(sum(part.tar_bytes for part in parts) for parts in volumes), parity=parity)


def format_label(label: Label) -> bytes:
    """Return the content of `volume.json`."""
    document: dict[str, object] = {
        "format": FORMAT,
        "manifest_sha256": label.manifest_sha256,
        "volume_bytes": label.volume_bytes,
        "number": label.number,
        "count": label.count,
    }
    if label.parity:
        document["parity"] = label.parity
    if label.index_sha256:
        document["index_sha256"] = label.index_sha256
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
        parity=fields.integer("parity", least=1, most=MOST_WITH_PARITY - 1) if fields.has("parity") else 0,
        index_sha256=fields.hex("index_sha256") if fields.has("index_sha256") else "",
    )
    if bool(label.index_sha256) != (label.parity > 0 and label.is_parity):
        raise IntegrityError("expected the digest of an index in volumes of parity, and in no other", place=NAME)
    if format_label(label) != data:
        raise IntegrityError("expected a label in its one form, it says more or says it otherwise", place=NAME)
    return label


def cut(manifest: Manifest, head_bytes: int, volume_bytes: int, parity: int = 0) -> tuple[tuple[Part, ...], ...]:
    """Return the parts of each volume, filled in the order of the manifest.

    `head_bytes` is the length of the bundle's head, `volume_bytes` the most that a volume may have. With parity
    all volumes are that much smaller that a volume of parity, which has an index beside its data, fits too.

    Raises:
        RecipeError: an entry that cannot be cut does not fit into a volume of this size, or parity for that many
            volumes cannot be computed.
    """
    room = volume_bytes - head_bytes - _BLOCK - LABEL_BYTES - _END
    if not parity:
        return _fill(manifest, room, volume_bytes)
    # More volumes make a longer index, which leaves less room: the first count that makes room for itself is it.
    count, volumes = 0, _fill(manifest, room - _parity_bytes(room, 1 + parity), volume_bytes)
    while len(volumes) != count:
        count = len(volumes)
        if count + parity > MOST_WITH_PARITY:
            raise RecipeError(
                f"expected at most {MOST_WITH_PARITY} volumes with those of parity, got {count} and {parity}",
                place="--parity",
                hint="choose larger volumes or fewer of parity",
            )
        volumes = _fill(manifest, room - _parity_bytes(room, count + parity), volume_bytes)
    return volumes


def _parity_bytes(room: int, total: int) -> int:
    """Return what the headers and the index of a volume of parity take at most."""
    index = -(-max(room, 0) // STRIPE_BYTES) * total * STRIPE_DIGEST_BYTES
    return 2 * _BLOCK + index + -index % _BLOCK


def _fill(manifest: Manifest, room: int, volume_bytes: int) -> tuple[tuple[Part, ...], ...]:
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
