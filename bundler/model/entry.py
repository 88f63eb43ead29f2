"""One entry of a bundle's tar, as a manifest promises it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bundler.model.descriptor import chunk_count
from bundler.model.document import Fields

_BLOB = re.compile("blobs/sha256/([0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One entry of the tar behind the head: its exact name, size in bytes and digests in hex."""

    name: str
    size: int
    sha256: str
    sm3: str
    chunks: tuple[str, ...] = ()

    @property
    def is_blob(self) -> bool:
        """Whether it stands in the content store."""
        return self.name.startswith("blobs/")


def parse_entry(fields: Fields) -> Entry:
    """Take an entry from the fields of a document."""
    entry = Entry(
        name=fields.text("name"),
        size=fields.integer("size"),
        sha256=fields.hex("sha256"),
        sm3=fields.hex("sm3", algorithm="sm3"),
        chunks=fields.texts("chunks", []),
    )
    expected = chunk_count(entry.size)
    if len(entry.chunks) != expected:
        raise fields.refuse("chunks", f"expected {expected} digests, got {len(entry.chunks)}")
    return entry


def parse_blob(fields: Fields) -> Entry:
    """Take an entry that is a blob under its own digest."""
    entry = parse_entry(fields)
    if wrong := wrong_blob_name(entry):
        raise fields.refuse("name", wrong)
    return entry


def wrong_blob_name(entry: Entry) -> str:
    """Say what is wrong with the name of a blob, "" when it is right."""
    match = _BLOB.fullmatch(entry.name)
    if match is not None and match[1] == entry.sha256:
        return ""
    return f'expected blobs/sha256/{entry.sha256}, got "{entry.name}"'


def entry_document(entry: Entry) -> dict[str, Any]:
    """Return an entry as it stands in a manifest."""
    document: dict[str, Any] = {
        "name": entry.name,
        "size": entry.size,
        "sha256": entry.sha256,
        "sm3": entry.sm3,
    }
    return {**document, "chunks": list(entry.chunks)} if entry.chunks else document
