"""The archive's own chain of trust over a lock's packages: its signed InRelease, and the lists that this names."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path

from bundler.apt import Apt
from bundler.errors import ResolveError, StepError
from bundler.model.deb import DebSource, LockedDeb
from bundler.model.platform import Platform
from bundler.model.upstream import FORM, RELEASE_NAME, LockedIndex, listed_digests

_DIGEST = re.compile("^SHA256: ([0-9a-f]{64})$", re.MULTILINE)
_DATE = re.compile("^Date: (.+)$", re.MULTILINE)
_COMPRESSED = ".xz"
_NO_SUITE = "leave upstream_chain out for packages of such an archive"


def resolve_upstream(
    sources: tuple[DebSource, ...], debs: Sequence[LockedDeb], keep: Callable[[bytes], object]
) -> tuple[LockedIndex, ...]:
    """Return for each platform every InRelease that apt verified, and every list of it that has one of the packages.

    An archive soon has another InRelease: `keep` gets each one as it is now. Without a source that asks for the chain
    nothing is done.

    Raises:
        ResolveError: apt does not answer, or a package is in no list any more.
    """
    if not any(source.upstream_chain for source in sources):
        return ()
    found: set[LockedIndex] = set()
    for platform in sorted({deb.platform for deb in debs}, key=str):
        wanted = {deb.sha256 for deb in debs if deb.platform == platform}
        with tempfile.TemporaryDirectory(prefix="ferry-apt-") as directory:
            try:
                apt = Apt(Path(directory), platform.debian)
                apt.update()
                found |= set(_indexes(apt, wanted, platform, keep))
            except StepError as error:
                raise ResolveError(f"apt gives no lists for {platform}: {error.message}", place="debs") from error
    return tuple(sorted(found, key=lambda index: (str(index.platform), index.path)))


def _indexes(apt: Apt, wanted: set[str], platform: Platform, keep: Callable[[bytes], object]) -> Iterator[LockedIndex]:
    missing = set(wanted)
    for target in apt.lists():
        has = wanted & set(_DIGEST.findall(apt.text(target.file)))
        if has:
            missing -= has
            yield from _chain(target.release.read_bytes(), target.suite_path, target.name, platform, keep)
    if missing:
        raise ResolveError(
            f"expected every package in a list of its archive, {len(missing)} are in none for {platform}",
            place="debs",
            hint="the archive changed meanwhile: lock again",
        )


def _chain(
    release: bytes, suite_path: str, name: str, platform: Platform, keep: Callable[[bytes], object]
) -> Iterator[LockedIndex]:
    if not suite_path.startswith("dists/"):
        raise ResolveError(f"expected an archive with suites, {name} has none", place="debs", hint=_NO_SUITE)
    text = release.decode("utf-8", "replace")
    listed, date = listed_digests(text), _date(text)
    if name + _COMPRESSED not in listed or not date:
        raise ResolveError(f"expected {name}{_COMPRESSED} and a date in {suite_path}/{RELEASE_NAME}", place="debs")
    keep(release)
    yield LockedIndex(
        path=f"{suite_path}/{RELEASE_NAME}",
        size=len(release),
        sha256=hashlib.sha256(release).hexdigest(),
        platform=platform,
        date=date,
    )
    size, sha256 = listed[name + _COMPRESSED]
    yield LockedIndex(path=f"{suite_path}/{name}{_COMPRESSED}", size=size, sha256=sha256, platform=platform, date=date)


def _date(release: str) -> str:
    """Return when an InRelease was made; empty where it does not say."""
    match = _DATE.search(release)
    try:
        return parsedate_to_datetime(match[1]).astimezone(UTC).strftime(FORM) if match else ""
    except ValueError:
        return ""
