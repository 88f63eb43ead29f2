"""A bundle in an encrypted 7z archive of many volumes, for sites that take nothing else: stored, not compressed."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from multivolumefile import MultiVolume
from py7zr import FILTER_COPY, FILTER_CRYPTO_AES256_SHA256, SevenZipFile

from bundler.checks import Reading
from bundler.errors import HostError, IntegrityError
from bundler.sevenzip.archive import SevenZip
from bundler.source import FileSource, Source, as_stream, read_at, readable
from bundler.store import PIECE_BYTES
from bundler.verify import Policy, verify

_FILTERS = [{"id": FILTER_COPY}, {"id": FILTER_CRYPTO_AES256_SHA256}]


def encrypt(
    bundle: Path,
    directory: Path,
    *,
    password: str,
    volume_bytes: int,
    policy: Policy,
    now: datetime,
    reading: Reading,
) -> tuple[Path, ...]:
    """Verify a bundle and write its archive, `NAME.7z.001` and on; return the volumes in order.

    Raises:
        TrustError, IntegrityError: the bundle is refused.
        HostError: a volume cannot be written, or is there already. No volume is left then.
    """
    verify(bundle, policy, now=now, reading=reading)
    name = f"{bundle.name.removesuffix('.tar')}.7z"
    if there := sorted(directory.glob(f"{name}.[0-9]*")):
        raise HostError("a volume is there already", place=str(there[0]), hint="remove it, or choose another directory")
    try:
        with tempfile.TemporaryDirectory(prefix=f".{name}.", dir=directory) as work:
            _write(bundle, Path(work) / name, password, volume_bytes, reading.advance)
            return _take_over(Path(work), directory)
    except OSError as error:
        raise HostError(f"the archive cannot be written: {error.strerror}", place=str(directory)) from error


def _write(bundle: Path, to: Path, password: str, volume_bytes: int, advance: Callable[[int], None]) -> None:
    with FileSource(bundle) as file:
        source = _Watched(file, advance)
        with (
            as_stream(source) as stream,
            MultiVolume(to, mode="wb", volume=volume_bytes, ext_digits=3) as out,
            SevenZipFile(out, "w", filters=_FILTERS, password=password, header_encryption=True) as archive,
        ):
            archive.writef(stream, bundle.name)
        _compare(SevenZip(Path(f"{to}.001"), lambda: password), source)


class _Watched:
    """A source that tells how much of it was read."""

    def __init__(self, source: Source, advance: Callable[[int], None]) -> None:
        self.name, self.size = source.name, source.size
        self._source, self._advance = source, advance

    def read_into(self, view: memoryview, offset: int) -> int:
        with readable(self.name):
            count = self._source.read_into(view, offset)
        self._advance(count)
        return count


def _compare(archive: SevenZip, source: Source) -> None:
    """Check that what was written reads as what was verified."""
    with archive.open() as inside:
        for at in range(0, max(source.size, inside.size), PIECE_BYTES):
            if read_at(inside, PIECE_BYTES, at) != read_at(source, PIECE_BYTES, at):
                raise IntegrityError("the archive does not read as the bundle", place=f"offset {at}")


def _take_over(work: Path, directory: Path) -> tuple[Path, ...]:
    """Give volumes their names, the first one last: without it nobody takes them for an archive."""
    made = []
    for path in sorted(work.iterdir(), reverse=True):
        with path.open("rb") as stream:
            os.fsync(stream.fileno())
        made.append(Path(shutil.move(path, directory / path.name)))
    return tuple(reversed(made))
