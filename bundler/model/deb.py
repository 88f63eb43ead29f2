"""Debian packages: those that a recipe wants on the isolated host, and all that a lock names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bundler.model.document import Fields
from bundler.model.path import relative_path
from bundler.model.platform import Platform, parse_platform

SUITE = "[a-z]+"
SUITE_WORDS = "the suite of a Debian release"
# Debian Policy 5.6.1; what starts with a hyphen would be an option of apt.
DEB = "[a-z0-9][a-z0-9+.-]+"
DEB_WORDS = "the name of a Debian package"
_VERSION = "[0-9][0-9A-Za-z.+:~-]*"


@dataclass(frozen=True, kw_only=True, slots=True)
class DebSource:
    """Packages of a Debian suite that are wanted on the isolated host itself.

    With `upstream_chain` the archive's own signed lists cross too. A host of another suite is refused if they are
    `needed`, else it goes without them.
    """

    suite: str
    packages: tuple[str, ...]
    upstream_chain: bool = False
    needed: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedDeb:
    """One Debian package; `path` is its place below an archive's base.

    `suite` is empty for packages of the runtime, which has one suite for all. `why` names the packages of the recipe
    that need it; `installed_bytes` is what its own archive says that it takes on a disk, 0 where that is not known.
    A host of another suite may go without what is `optional`.
    """

    name: str
    version: str
    architecture: str
    path: str
    size: int
    sha256: str
    platform: Platform
    suite: str = ""
    why: tuple[str, ...] = ()
    installed_bytes: int = 0
    optional: bool = False

    @property
    def file_name(self) -> str:
        """The name that apt gives its file."""
        return f"{self.name}_{self.version.replace(':', '%3a')}_{self.architecture}.deb"


def deb_sources(fields: Fields) -> tuple[DebSource, ...]:
    """Take `debs` of a recipe.

    Raises:
        the error of `fields`: the field that is wrong.
    """
    sources = fields.each("debs", _deb_source, [])
    seen: dict[str, bool] = {}
    for index, source in enumerate(sources):
        if seen.setdefault(source.suite, source.needed) != source.needed:
            place = f"debs[{index}].needed"
            raise fields.refuse(place, f"expected the same for all packages of {source.suite}, got both true and false")
    return sources


def _deb_source(fields: Fields) -> DebSource:
    source = DebSource(
        suite=fields.text("suite", match=SUITE, what=SUITE_WORDS),
        packages=fields.texts("packages", match=DEB, what=DEB_WORDS),
        upstream_chain=fields.flag("upstream_chain", False),
        needed=fields.flag("needed", True),
    )
    if not source.packages:
        raise fields.refuse("packages", "expected at least one package, got none")
    return source


def locked_os_deb(fields: Fields) -> LockedDeb:
    """Take one package for the isolated host from a lock."""
    suite = fields.text("suite", match=SUITE, what=SUITE_WORDS)
    return replace(locked_deb(fields), suite=suite)


def locked_deb(fields: Fields) -> LockedDeb:
    """Take one package from a lock."""
    return LockedDeb(
        name=fields.text("name", match=DEB, what=DEB_WORDS),
        version=fields.text("version", match=_VERSION, what="the version of a Debian package"),
        architecture=fields.text("architecture", match="[a-z0-9]+", what="an architecture of Debian"),
        path=relative_path(fields, "path"),
        size=fields.integer("size", least=1),
        sha256=fields.hex("sha256"),
        platform=parse_platform(fields.text("platform"), place=fields.place("platform")),
        why=fields.texts("why", [], match=DEB, what=DEB_WORDS),
        installed_bytes=fields.integer("installed_bytes", 0),
        optional=fields.flag("optional", False),
    )


def locked_deb_document(deb: LockedDeb) -> dict[str, Any]:
    """Return a package as it stands in a lock."""
    suite = {"suite": deb.suite} if deb.suite else {}
    document = suite | {
        "name": deb.name,
        "version": deb.version,
        "architecture": deb.architecture,
        "path": deb.path,
        "size": deb.size,
        "sha256": deb.sha256,
        "platform": str(deb.platform),
    }
    document |= {"installed_bytes": deb.installed_bytes} if deb.installed_bytes else {}
    document |= {"optional": True} if deb.optional else {}
    return document | ({"why": list(deb.why)} if deb.why else {})
