"""RPM packages for the isolated host: those that a recipe wants, all that a lock names, and the keys that sign them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from bundler.model.document import Fields
from bundler.model.path import relative_path
from bundler.model.platform import Platform, parse_platform

RELEASE = r"[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*"
RELEASE_WORDS = 'a release of a distribution in lower case, such as "openeuler-22.03"'
# What starts with a hyphen would be an option of dnf, with "@" a group; the rest are patterns of its own.
RPM = "[0-9A-Za-z_][0-9A-Za-z._+-]*"
RPM_WORDS = "the name of an RPM package"
REPOSITORY = "[0-9A-Za-z][0-9A-Za-z._:-]*"
REPOSITORY_WORDS = "the id of a repository"
_PART = "[0-9A-Za-z._+~^]+"
_VERSION = f"([0-9]+:)?{_PART}-{_PART}"
_KEY = re.compile(
    r"^-----BEGIN PGP PUBLIC KEY BLOCK-----\n[\n -~]*?\n-----END PGP PUBLIC KEY BLOCK-----\n", re.MULTILINE
)


@dataclass(frozen=True, kw_only=True, slots=True)
class RpmSource:
    """Packages of a distribution's release that are wanted on the isolated host itself."""

    release: str
    packages: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedRpm:
    """One RPM package; `version` is [EPOCH:]VERSION-RELEASE, `path` its place below the base of `repository`."""

    release: str
    repository: str
    name: str
    version: str
    architecture: str
    path: str
    size: int
    sha256: str
    platform: Platform

    @property
    def file_name(self) -> str:
        """The name that rpmbuild gives its file."""
        return f"{self.name}-{self.version.rpartition(':')[2]}.{self.architecture}.rpm"


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedRpmKey:
    """A key with which packages of a repository may be signed, as its text in ASCII."""

    repository: str
    text: str


def rpm_sources(fields: Fields) -> tuple[RpmSource, ...]:
    """Take `rpms` of a recipe, of one release in all.

    Raises:
        the error of `fields`: the field that is wrong.
    """
    sources = fields.each("rpms", _rpm_source, [])
    releases = sorted({source.release for source in sources})
    if len(releases) > 1:
        raise fields.refuse(
            "rpms", f"expected one release, got {', '.join(releases)}", "make a recipe for each release"
        )
    return sources


def _rpm_source(fields: Fields) -> RpmSource:
    source = RpmSource(
        release=fields.text("release", match=RELEASE, what=RELEASE_WORDS),
        packages=fields.texts("packages", match=RPM, what=RPM_WORDS),
    )
    if not source.packages:
        raise fields.refuse("packages", "expected at least one package, got none")
    return source


def locked_rpm(fields: Fields) -> LockedRpm:
    """Take one package from a lock."""
    return LockedRpm(
        release=fields.text("release", match=RELEASE, what=RELEASE_WORDS),
        repository=fields.text("repository", match=REPOSITORY, what=REPOSITORY_WORDS),
        name=fields.text("name", match=RPM, what=RPM_WORDS),
        version=fields.text("version", match=_VERSION, what="[EPOCH:]VERSION-RELEASE of an RPM package"),
        architecture=fields.text("architecture", match="[a-z0-9_]+", what="an architecture of RPM"),
        path=relative_path(fields, "path"),
        size=fields.integer("size", least=1),
        sha256=fields.hex("sha256"),
        platform=parse_platform(fields.text("platform"), place=fields.place("platform")),
    )


def locked_rpm_document(rpm: LockedRpm) -> dict[str, Any]:
    """Return a package as it stands in a lock."""
    return {
        "release": rpm.release,
        "repository": rpm.repository,
        "name": rpm.name,
        "version": rpm.version,
        "architecture": rpm.architecture,
        "path": rpm.path,
        "size": rpm.size,
        "sha256": rpm.sha256,
        "platform": str(rpm.platform),
    }


def locked_rpm_key(fields: Fields) -> LockedRpmKey:
    """Take one key from a lock."""
    repository = fields.text("repository", match=REPOSITORY, what=REPOSITORY_WORDS)
    text = "".join(f"{line}\n" for line in fields.texts("lines"))
    if key_blocks(text) != (text,):
        raise fields.refuse("lines", "expected the lines of a public key of OpenPGP in ASCII")
    return LockedRpmKey(repository=repository, text=text)


def locked_rpm_key_document(key: LockedRpmKey) -> dict[str, Any]:
    """Return a key as it stands in a lock."""
    return {"repository": key.repository, "lines": key.text.splitlines()}


def key_blocks(text: str) -> tuple[str, ...]:
    """Return the keys in the text of a file, with plain line ends and without what stands between them."""
    return tuple(match[0] for match in _KEY.finditer("".join(f"{line.rstrip()}\n" for line in text.splitlines())))
