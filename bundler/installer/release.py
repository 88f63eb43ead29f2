"""The record of a release: what was installed, from which manifest, and who signed it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from bundler.errors import IntegrityError
from bundler.model.document import Fields


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One release on this host; `files` gives the digest in the store of each entry that is no blob."""

    number: int
    name: str
    version: str
    sequence: int
    manifest_sha256: str
    keyid: str
    algorithm: str
    installed: str
    files: tuple[tuple[str, str], ...]


def format_release(release: Release) -> bytes:
    """Write a record as JSON."""
    document = {**asdict(release), "files": dict(release.files)}
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def parse_release(data: bytes, *, place: str) -> Release:
    """Parse a record; fields of a later Ferry are allowed.

    Raises:
        IntegrityError: it is no record.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("expected the record of a release in JSON", place=place) from error
    fields = Fields(document, place=place, error=IntegrityError)
    return Release(
        number=fields.integer("number", least=1),
        name=fields.text("name"),
        version=fields.text("version"),
        sequence=fields.integer("sequence"),
        manifest_sha256=fields.hex("manifest_sha256"),
        keyid=fields.text("keyid"),
        algorithm=fields.text("algorithm"),
        installed=fields.text("installed"),
        files=fields.pairs("files"),
    )


def read_releases(directory: Path) -> tuple[Release, ...]:
    """Read every record of a host, in the order of their numbers.

    Raises:
        IntegrityError: one is damaged.
    """
    if not directory.is_dir():
        return ()
    paths = [path for path in directory.iterdir() if path.suffix == ".json" and path.stem.isdecimal()]
    found = [parse_release(path.read_bytes(), place=str(path)) for path in paths]
    return tuple(sorted(found, key=lambda release: release.number))
