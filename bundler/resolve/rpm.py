"""RPM packages for the isolated host: what it lacks, by dnf itself, for what it has."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from bundler.dnf import Dnf
from bundler.errors import ResolveError, StepError
from bundler.model.platform import Platform
from bundler.model.rpm import LockedRpm, LockedRpmKey, RpmSource, key_blocks
from bundler.model.target import Package, Target
from bundler.repositories import Repository, read_repositories
from bundler.transport import Transport

# What a minimal system of openEuler, Kylin, Fedora or RHEL has; those that a release lacks are left out.
MINIMAL = ("basesystem", "bash", "coreutils", "dnf", "filesystem", "glibc", "rpm", "setup", "systemd", "util-linux")
_LONGEST_KEY_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolvedRpms:
    """Packages sorted by platform, name and version; the keys of their repositories; those of which nobody signs."""

    rpms: tuple[LockedRpm, ...]
    keys: tuple[LockedRpmKey, ...]
    unsigned: tuple[str, ...]


def resolve_rpms(
    sources: tuple[RpmSource, ...],
    platforms: tuple[Platform, ...],
    hosts: tuple[Target, ...],
    unsigned: Collection[str] = (),
) -> ResolvedRpms:
    """Return what the described hosts lack for the packages.

    For a platform without a host, or with one whose packages are not known, what `MINIMAL` needs counts as installed.
    `unsigned` are repositories whose packages are taken without a signature, where they are configured so.

    Raises:
        ResolveError: this host has no dnf, its repositories do not have the packages, or a host takes no rpms.
        TransferError: a key cannot be fetched.
    """
    if not sources:
        return ResolvedRpms(rpms=(), keys=(), unsigned=())
    release = sources[0].release
    for host in hosts:
        _check_host(host, release)
    found: set[LockedRpm] = set()
    used: set[Repository] = set()
    transport = Transport()
    for platform in platforms:
        repositories = read_repositories(release, platform.machine, unsigned)
        known = [host.packages for host in hosts if host.platform == platform] or [None]
        rpms = _missing(sources, platform, repositories, known, transport)
        taken = {rpm.repository for rpm in rpms}
        used |= {one for one in repositories if one.name in taken}
        found |= rpms
    keys = {(one.name, url) for one in used if one.are_packages_signed for url in one.keys}
    texts = sorted({(name, text) for name, url in keys for text in _key_texts(url, transport)})
    return ResolvedRpms(
        rpms=tuple(sorted(found, key=lambda rpm: (str(rpm.platform), rpm.name, rpm.version, rpm.architecture))),
        keys=tuple(LockedRpmKey(repository=name, text=text) for name, text in texts),
        unsigned=tuple(sorted({one.name for one in used if not one.are_packages_signed})),
    )


def _check_host(host: Target, release: str) -> None:
    if host.package_manager is not None and host.package_format != "rpm":
        raise ResolveError(
            f"expected a host with rpm, {host.name} has {host.package_manager}",
            place="rpms",
            hint="leave rpms out of the recipe for this host",
        )
    vendor, _, version = release.partition("-")
    has = ((host.os.id or vendor).lower(), (host.os.version or version).lower())
    # One may be told more exactly than the other: 9 and 9.3, 22.03 and 22.03-lts-sp3.
    if has[0] != vendor or not (has[1].startswith(version) or version.startswith(has[1])):
        raise ResolveError(f'expected a host of "{release}", {host.name} is of "{"-".join(has)}"', place="rpms.release")


def _missing(
    sources: tuple[RpmSource, ...],
    platform: Platform,
    repositories: Sequence[Repository],
    known: Sequence[tuple[Package, ...] | None],
    transport: Transport,
) -> set[LockedRpm]:
    release, names = sources[0].release, tuple(name for source in sources for name in source.packages)
    signed = [
        one.name for one in repositories if one.is_signed or any(_offers_signature(b, transport) for b in one.bases)
    ]
    found: set[LockedRpm] = set()
    with tempfile.TemporaryDirectory(prefix="ferry-dnf-") as directory:
        dnf = Dnf(Path(directory) / "dnf", platform.machine, repositories, signed)
        try:
            dnf.update()
            minimal = _minimal(dnf) if None in known else ()
            for installed in known:
                given = minimal if installed is None else installed
                dnf.assume(one for one in given if one.architecture in (platform.machine, "noarch"))
                found |= _locked(dnf.closure(names), release, platform)
        except StepError as error:
            raise ResolveError(
                f"dnf found no {', '.join(names)} of {release} for {platform}: {error.message}",
                place="rpms",
                hint=f"the repositories of {release} must offer all of it, under the keys that they name",
            ) from error
    return found


def _minimal(dnf: Dnf) -> tuple[Package, ...]:
    """Return what the packages of a minimal system need, resolved for a host that has nothing."""
    return tuple(
        Package(name=entry["name"], version=entry["version"], architecture=entry["architecture"])
        for entry in dnf.closure(MINIMAL, strict=False)["install"]
    )


def _locked(answer: dict[str, Any], release: str, platform: Platform) -> set[LockedRpm]:
    if answer["remove"]:
        raise ResolveError(
            f"expected to replace no package of the host, dnf would remove {', '.join(answer['remove'])}",
            place="rpms",
            hint="a package of the recipe declares them obsolete: remove them on the host first, and probe it again",
        )
    return {_rpm_of_entry(entry, release, platform) for entry in answer["install"]}


def _rpm_of_entry(entry: dict[str, Any], release: str, platform: Platform) -> LockedRpm:
    if entry["algorithm"] != "sha256" or entry["elsewhere"]:
        got = "a package that stands elsewhere" if entry["elsewhere"] else f"one with {entry['algorithm']}"
        raise ResolveError(
            f"expected {entry['name']} below the repository's base with a sha256, got {got}",
            place=f"rpms: {entry['repository']}",
            hint="take another mirror of the release, or make its lists anew with createrepo_c",
        )
    return LockedRpm(
        release=release,
        repository=entry["repository"],
        name=entry["name"],
        version=entry["version"],
        architecture=entry["architecture"],
        path=entry["path"],
        size=entry["size"],
        sha256=entry["digest"],
        platform=platform,
    )


def _offers_signature(base: str, transport: Transport) -> bool:
    """Say whether the list of a repository has a signature beside it."""
    url = f"{base}repodata/repomd.xml.asc"
    if url.startswith("file:"):
        return Path(unquote(urlsplit(url).path)).is_file()
    return transport.read(url, limit=_LONGEST_KEY_BYTES).status == 200


def _key_texts(url: str, transport: Transport) -> tuple[str, ...]:
    """Read the keys of a file."""
    if url.startswith("file:"):
        try:
            data = Path(unquote(urlsplit(url).path)).read_bytes()
        except OSError as error:
            raise ResolveError(f"the key cannot be read: {error.strerror}", place=url) from error
    else:
        reply = transport.read(url, limit=_LONGEST_KEY_BYTES)
        if reply.status != 200:
            raise ResolveError(f"the key cannot be read: answered {reply.status}", place=url)
        data = reply.body
    texts = key_blocks(data.decode("ascii", "replace"))
    if not texts:
        raise ResolveError("expected a public key of OpenPGP in ASCII", place=url, hint="export it with gpg --armor")
    return texts
