"""What a differential bundle leaves to the host: blobs that must be there, and patches of blobs that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bundler.errors import IntegrityError
from bundler.model.document import Fields
from bundler.model.entry import Entry, entry_document, parse_blob

BASE_KINDS = ("bundle", "receipt", "lacking")


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """What a differential was made against: which document said that a host has the blobs, and of which release.

    `sha256` is that of the document: the manifest of a bundle, or the file of a receipt.
    """

    kind: str
    name: str
    version: str
    sequence: int
    sha256: str

    def __str__(self) -> str:
        """Return it as a person says it."""
        return f"{self.kind} {self.name} {self.version} (sequence {self.sequence})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """A blob that is made on the host: `result` out of `base`, which the host has, by the entry with digest `patch`."""

    result: Entry
    base: Entry
    patch: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Differential:
    """What makes a bundle a differential.

    `release_sha256` and `release_sm3` are the digests of the manifest of the full bundle, which is the release that the
    host gets. `absent` blobs of it are not carried. `deflate` names the compressor that patches count on.
    """

    release_sha256: str
    release_sm3: str
    bases: tuple[Base, ...]
    absent: tuple[Entry, ...]
    patches: tuple[Patch, ...]
    deflate: str

    @property
    def needed(self) -> tuple[Entry, ...]:
        """What the host must have, each once: absent blobs, then the bases of patches."""
        found = {entry.sha256: entry for entry in (*self.absent, *(patch.base for patch in self.patches))}
        return tuple(found.values())

    def due(self, blobs: Mapping[str, int]) -> tuple[Patch, ...]:
        """Return the patches of which the result is not among blobs, given by digest with their sizes."""
        return tuple(patch for patch in self.patches if blobs.get(patch.result.sha256) != patch.result.size)

    def told(self) -> str:
        """Name its bases in one line."""
        return ", ".join(map(str, self.bases))


def differential_document(found: Differential) -> dict[str, Any]:
    """Return the part of a manifest that makes its bundle a differential."""
    return {
        "release": {"sha256": found.release_sha256, "sm3": found.release_sm3},
        "bases": [
            {
                "kind": base.kind,
                "name": base.name,
                "version": base.version,
                "sequence": base.sequence,
                "sha256": base.sha256,
            }
            for base in found.bases
        ],
        "absent": [entry_document(entry) for entry in found.absent],
        "patches": [
            {"result": entry_document(one.result), "base": entry_document(one.base), "patch": one.patch}
            for one in found.patches
        ],
        "deflate": found.deflate,
    }


def parse_differential(fields: Fields) -> Differential:
    """Take what makes a bundle a differential.

    Raises:
        IntegrityError: as `fields` say.
    """
    release = fields.mapping("release")
    return Differential(
        release_sha256=release.hex("sha256"),
        release_sm3=release.hex("sm3", algorithm="sm3"),
        bases=tuple(_base(Fields(v, place=p, error=IntegrityError)) for p, v in fields.items("bases")),
        absent=tuple(parse_blob(Fields(v, place=p, error=IntegrityError)) for p, v in fields.items("absent")),
        patches=tuple(_patch(Fields(v, place=p, error=IntegrityError)) for p, v in fields.items("patches")),
        deflate=fields.text("deflate", match="[0-9a-f]{16}"),
    )


def _base(fields: Fields) -> Base:
    return Base(
        kind=fields.text("kind", match="|".join(BASE_KINDS)),
        name=fields.text("name"),
        version=fields.text("version"),
        sequence=fields.integer("sequence"),
        sha256=fields.hex("sha256"),
    )


def _patch(fields: Fields) -> Patch:
    return Patch(
        result=parse_blob(fields.mapping("result")),
        base=parse_blob(fields.mapping("base")),
        patch=fields.hex("patch"),
    )


def check_differential(found: Differential, entries: Sequence[Entry]) -> None:
    """Refuse a blob that is both carried and left out, or made twice, and a patch that is not carried.

    Raises:
        IntegrityError: the message names the field.
    """
    carried = {entry.sha256 for entry in entries if entry.is_blob}
    seen: set[str] = set()
    made = [(f"differential.patches[{index}].result", patch.result) for index, patch in enumerate(found.patches)]
    absent = [(f"differential.absent[{index}]", entry) for index, entry in enumerate(found.absent)]
    for place, entry in (*absent, *made):
        if entry.sha256 in carried or entry.sha256 in seen:
            raise IntegrityError(f"the blob {entry.sha256} is listed twice", place=place)
        seen.add(entry.sha256)
    for index, patch in enumerate(found.patches):
        if patch.patch not in carried:
            raise IntegrityError(f"no entry carries {patch.patch}", place=f"differential.patches[{index}].patch")
