"""The archive's own signed lists in a bundle: an auditor checks them with the archive's keyring, without Ferry."""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator, Sequence

from bundler.errors import IntegrityError
from bundler.model.descriptor import OCTETS
from bundler.model.lock import Lock
from bundler.model.manifest import Item
from bundler.model.platform import Platform
from bundler.model.purl import generic_purl
from bundler.model.upstream import LockedIndex, listed_digests
from bundler.store import Store

_DIGEST = re.compile(b"^SHA256: ([0-9a-f]{64})$", re.MULTILINE)
# Debian's largest list has 50 MiB.
_MAX_BYTES = 512 * 1024 * 1024


def carry_upstream(lock: Lock, platform: Platform, store: Store) -> Iterator[Item]:
    """Return every InRelease and list of the lock for `platform`, checked to name each package of it.

    Raises:
        IntegrityError: the chain from InRelease to package has a gap.
    """
    indexes = [index for index in lock.upstream if index.platform == platform]
    if indexes:
        _check(indexes, {deb.sha256 for deb in lock.os_debs if deb.platform == platform}, store)
    for index in indexes:
        yield Item(
            kind="upstream",
            name=index.name,
            version=index.date,
            purl=generic_purl(f"debian/{index.path}", index.date),
            descriptor=store.describe(index.sha256, OCTETS),
            source=(("path", index.path),),
        )


def _check(indexes: Sequence[LockedIndex], debs: set[str], store: Store) -> None:
    signed: set[tuple[str, int, str]] = set()
    listed: set[str] = set()
    for release in (index for index in indexes if index.is_release):
        directory = release.path.rpartition("/")[0]
        names = listed_digests(store.read(release.sha256).decode("utf-8", "replace"))
        signed |= {(f"{directory}/{name}", size, sha256) for name, (size, sha256) in names.items()}
    for index in (index for index in indexes if not index.is_release):
        if (index.path, index.size, index.sha256) not in signed:
            raise IntegrityError("expected a list that the archive's InRelease names", place=f"upstream: {index.path}")
        listed |= {match.decode() for match in _DIGEST.findall(_plain(store.read(index.sha256), index))}
    if missing := sorted(debs - listed):
        what = f"expected every package in a list of its archive, {missing[0]} is in none"
        raise IntegrityError(what, place="upstream", hint="lock the recipe again")


def _plain(data: bytes, index: LockedIndex) -> bytes:
    reader = lzma.LZMADecompressor(memlimit=_MAX_BYTES)
    try:
        plain = reader.decompress(data, _MAX_BYTES)
    except lzma.LZMAError as error:
        raise IntegrityError(f"expected a list packed by xz: {error}", place=f"upstream: {index.path}") from error
    if not reader.eof:
        raise IntegrityError(f"expected a list of at most {_MAX_BYTES} bytes", place=f"upstream: {index.path}")
    return plain
