"""What an archive signed: its InRelease and the lists of packages that this names, in a lock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bundler.model.document import Fields
from bundler.model.platform import Platform, parse_platform

_PATH = r"dists/[a-z0-9-]+(/[A-Za-z0-9._-]+)+"
RELEASE_NAME = "InRelease"
FORM = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedIndex:
    """An InRelease or a list of packages; `path` is its place below an archive's base, `date` that of the InRelease."""

    path: str
    size: int
    sha256: str
    platform: Platform
    date: str

    @property
    def is_release(self) -> bool:
        """Whether it is what the archive signed, and not a list that this names."""
        return self.path.endswith(f"/{RELEASE_NAME}")

    @property
    def name(self) -> str:
        """What it is called in a bundle: SUITE/InRelease, SUITE/COMPONENT/..."""
        return self.path.removeprefix("dists/")

    @property
    def paths(self) -> tuple[str, ...]:
        """Where an archive may have it: a list also by its digest, so that an update does not take it away."""
        directory = self.path.rpartition("/")[0]
        by_hash = () if self.is_release else (f"{directory}/by-hash/SHA256/{self.sha256}",)
        return (*by_hash, self.path)


def locked_index(fields: Fields) -> LockedIndex:
    """Take one index from a lock."""
    index = LockedIndex(
        path=fields.text("path", match=_PATH, what="a path dists/SUITE/NAME"),
        size=fields.integer("size", least=1),
        sha256=fields.hex("sha256"),
        platform=parse_platform(fields.text("platform"), place=fields.place("platform")),
        date=fields.moment("date", form=FORM, what="a time in UTC"),
    )
    if ".." in index.path.split("/"):
        raise fields.refuse("path", "expected a path without '..'")
    return index


def locked_index_document(index: LockedIndex) -> dict[str, Any]:
    """Return an index as it stands in a lock."""
    document: dict[str, Any] = {"path": index.path, "size": index.size, "sha256": index.sha256}
    return {**document, "platform": str(index.platform), "date": index.date}


def listed_digests(release: str) -> dict[str, tuple[int, str]]:
    """Return size and SHA-256 of what an InRelease lists, by name.

    Source: Debian repository format, "SHA256" of Release files.
    """
    found: dict[str, tuple[int, str]] = {}
    inside = False
    for line in release.splitlines():
        if not line.startswith(" "):
            inside = line.rstrip() == "SHA256:"
        elif inside and len(words := line.split()) == 3 and words[1].isdecimal():
            found[words[2]] = (int(words[1]), words[0])
    return found
