"""Small bundles cut into volumes of a few stripes, and what puts their entries together again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from random import Random

from bundles import SIGNER, packed, small_manifest

from bundler.checks import Reading
from bundler.model.manifest import Entry
from bundler.verify import Policy
from bundler.volumes import split

NOW = datetime(2026, 11, 1, tzinfo=UTC)
POLICY = Policy(trusted=(SIGNER.public,))
MIB = 1024 * 1024


class Collector:
    """A sink that puts entries together."""

    def __init__(self) -> None:
        self.data: dict[str, bytearray] = {}
        self.right: dict[str, int] = {}

    def write(self, entry: Entry, offset: int, data: memoryview) -> None:
        held = self.data.setdefault(entry.name, bytearray(entry.size))
        held[offset : offset + len(data)] = data

    def finish(self, entry: Entry, count: int) -> None:
        self.right[entry.name] = self.right.get(entry.name, 0) + count


@cache
def striped_bundle() -> tuple[bytes, dict[str, bytes]]:
    """A bundle of some 7 MB in blobs of less than one stripe and more."""
    random = Random(11)
    sizes = (700_000, 1_500_001, 12, 900_000, 1_000_000, 1_048_576, 1_200_000, 300_003, 5)
    manifest, contents = small_manifest([random.randbytes(size) for size in sizes])
    return packed(manifest, contents), contents


def cut_striped(directory: Path, *, parity: int, size: int = 2_300_000) -> list[Path]:
    """Write the volumes of the striped bundle: four at the size that is the default."""
    (directory / "s.tar").write_bytes(striped_bundle()[0])
    paths = split(
        directory / "s.tar",
        directory,
        volume_bytes=size,
        policy=POLICY,
        now=NOW,
        reading=Reading(),
        parity=parity,
    )
    (directory / "s.tar").unlink()
    return list(paths)


def change(path: Path, spoil: Callable[[bytearray], None]) -> None:
    """Change the bytes of a file."""
    data = bytearray(path.read_bytes())
    spoil(data)
    path.write_bytes(data)


def flip(path: Path, *offsets: int) -> None:
    """Flip a bit at each offset of a file."""

    def spoil(data: bytearray) -> None:
        for offset in offsets:
            data[offset] ^= 1

    change(path, spoil)
