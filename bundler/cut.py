"""Every byte of a volume that is not the bundle's own: it follows from the manifest and from how it was cut."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass

from bundler.archive import BLOCK, END, Head, Span, header, lay_out, pack_head, padding
from bundler.errors import IntegrityError, RecipeError
from bundler.model.manifest import Manifest
from bundler.model.volume import LABEL_BYTES, NAME, Label, Part, Shape, cut, format_label, shape_of
from bundler.source import Source

PARITY_DATA, PARITY_INDEX = "parity.data", "parity.index"
_LABEL_TAR_BYTES = BLOCK + LABEL_BYTES


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """A bundle's cut into volumes: each is what stands before its body, the body, and what stands behind it."""

    manifest: Manifest
    head: Head
    volume_bytes: int
    volumes: tuple[tuple[Part, ...], ...]
    shape: Shape

    def label(self, number: int, index_sha256: str = "") -> Label:
        """Return the label of a volume."""
        return Label(
            manifest_sha256=hashlib.sha256(self.head.manifest).hexdigest(),
            volume_bytes=self.volume_bytes,
            number=number,
            count=len(self.volumes),
            parity=self.shape.parity,
            index_sha256=index_sha256 if number > len(self.volumes) else "",
        )

    def body_at(self, number: int) -> int:
        """Return where the body of a volume begins."""
        return self.head.end + _LABEL_TAR_BYTES + (BLOCK if number > len(self.volumes) else 0)

    def size(self, number: int) -> int:
        """Return how many bytes a volume has."""
        index = self.shape.index_bytes
        behind = BLOCK + index + padding(index) if number > len(self.volumes) else 0
        return self.body_at(number) + self.shape.body(number) + behind + len(END)

    def before(self, number: int, index: bytes) -> bytes:
        """Return what stands before the body; `index` tells in volumes of parity alone."""
        head = pack_head(self.head.entries())
        label = self.label(number, hashlib.sha256(index).hexdigest())
        data = header(PARITY_DATA, self.shape.shard_bytes) if label.is_parity else b""
        return head + header(NAME, LABEL_BYTES) + format_label(label) + data

    def behind(self, number: int, index: bytes) -> bytes:
        """Return what stands behind the body."""
        if number <= len(self.volumes):
            return END
        return header(PARITY_INDEX, len(index)) + index + bytes(padding(len(index))) + END

    def spans(self, number: int) -> list[Span]:
        """Return where the parts of a volume of the bundle stand."""
        return list(lay_out(self.volumes[number - 1], self.body_at(number)))


def make_cut(manifest: Manifest, head: Head, volume_bytes: int, parity: int = 0) -> Cut:
    """Cut a bundle.

    Raises:
        RecipeError: it cannot be cut so.
    """
    volumes = cut(manifest, head.end, volume_bytes, parity)
    shape = shape_of(volumes, parity)
    return Cut(manifest=manifest, head=head, volume_bytes=volume_bytes, volumes=volumes, shape=shape)


def cut_of(manifest: Manifest, head: Head, label: Label) -> Cut:
    """Return the cut that a label names.

    Raises:
        IntegrityError: no such cut gives such a volume.
    """
    try:
        found = make_cut(manifest, head, label.volume_bytes, label.parity)
    except RecipeError as error:
        raise IntegrityError(error.message, place=NAME) from error
    if label.count != len(found.volumes) or label.number > label.total:
        raise IntegrityError(
            f"expected one of {found.shape.total} volumes, the label says {label.number} of {label.total}", place=NAME
        )
    return found


class Body:
    """The body of a volume, read from the bundle itself; `places` says where the data of each entry is."""

    def __init__(self, bundle: Source, parts: tuple[Part, ...], places: Mapping[str, int]) -> None:
        self.name = bundle.name
        self._bundle = bundle
        self._starts: list[int] = []
        self._pieces: list[tuple[int, bytes | int]] = []
        self.size = 0
        for part in parts:
            self._add(BLOCK, header(part.name, part.length))
            self._add(part.length, places[part.entry.name] + part.start)
            self._add(padding(part.length), bytes(padding(part.length)))

    def _add(self, length: int, piece: bytes | int) -> None:
        if length:
            self._starts.append(self.size)
            self._pieces.append((length, piece))
            self.size += length

    def read_into(self, view: memoryview, offset: int) -> int:
        """Fill a view from an offset on, up to the end of what stands together.

        Raises:
            OSError, IntegrityError: as the bundle does.
        """
        if offset >= self.size:
            return 0
        index = bisect_right(self._starts, offset) - 1
        length, piece = self._pieces[index]
        inside = offset - self._starts[index]
        count = min(len(view), length - inside)
        if isinstance(piece, int):
            return self._bundle.read_into(view[:count], piece + inside)
        view[:count] = piece[inside : inside + count]
        return count
