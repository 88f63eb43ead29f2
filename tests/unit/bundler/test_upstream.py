"""The archive's signed lists in a lock and in a bundle: whole from InRelease to package, or refused."""

from __future__ import annotations

import hashlib
import lzma
from dataclasses import replace
from pathlib import Path

import pytest

from bundler.carried.upstream import carry_upstream
from bundler.errors import FerryError, IntegrityError, RecipeError
from bundler.load import format_lock, read_lock
from bundler.model.deb import LockedDeb
from bundler.model.descriptor import OCTETS
from bundler.model.lock import Lock
from bundler.model.platform import PLATFORMS
from bundler.model.upstream import LockedIndex, listed_digests
from bundler.store import Store

HELLO = Path(__file__).resolve().parents[3] / "recipes/hello"
DATE = "2026-07-11T10:16:37Z"
DEB = "d" * 64
LIST = "main/binary-amd64/Packages.xz"
PACKAGES = f"Package: jq\nSHA256: {DEB}\n"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def index(path: str, data: bytes) -> LockedIndex:
    return LockedIndex(path=path, size=len(data), sha256=sha256(data), platform=PLATFORMS[0], date=DATE)


def locked(store: Store, packed: bytes, *, names: str = "") -> Lock:
    """Return a lock with one package and the lists that are to name it; `names` goes into InRelease for `packed`."""
    deb = LockedDeb(
        name="jq", version="1", architecture="all", path="pool/j", size=1, sha256=DEB, platform=PLATFORMS[0], suite="b"
    )
    line = f" {names or sha256(packed)} {len(packed)} {LIST}\n"
    release = (
        f"Hash: SHA256\n\nMD5Sum:\n {'0' * 32} 1 {LIST}\nSHA256:\n{line}\n-----BEGIN PGP SIGNATURE-----\n".encode()
    )
    for data in (packed, release):
        store.put(data, OCTETS)
    paths = ((f"dists/bookworm/{LIST}", packed), ("dists/bookworm/InRelease", release))
    return replace(read_lock(HELLO), os_debs=(deb,), upstream=tuple(index(*pair) for pair in paths))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_a_whole_chain_is_carried(store: Store) -> None:
    items = list(carry_upstream(locked(store, lzma.compress(PACKAGES.encode())), PLATFORMS[0], store))
    assert [(item.kind, item.name, item.version) for item in items] == [
        ("upstream", f"bookworm/{LIST}", DATE),
        ("upstream", "bookworm/InRelease", DATE),
    ]
    assert items[1].source == (("path", "dists/bookworm/InRelease"),)
    assert list(carry_upstream(read_lock(HELLO), PLATFORMS[0], store)) == []


def refusal(kind: type[FerryError], store: Store, lock: Lock) -> str:
    with pytest.raises(kind) as refused:
        list(carry_upstream(lock, PLATFORMS[0], store))
    return str(refused.value)


def test_a_gap_in_the_chain_is_refused(store: Store) -> None:
    place = f"upstream: dists/bookworm/{LIST}"
    good = lzma.compress(PACKAGES.encode())
    other = locked(store, good, names="0" * 64)
    assert refusal(IntegrityError, store, other) == f"{place}: expected a list that the archive's InRelease names"
    without = locked(store, lzma.compress(b"Package: jq\nSHA256: none\n"))
    says = f"upstream: expected every package in a list of its archive, {DEB} is in none"
    assert refusal(IntegrityError, store, without) == says
    alone = locked(store, good)
    assert refusal(IntegrityError, store, replace(alone, upstream=alone.upstream[1:])) == says
    for data in (b"plain", good[:-4]):
        assert refusal(IntegrityError, store, locked(store, data)).startswith(f"{place}: expected a list ")


def test_a_lock_comes_back_as_it_was_written(store: Store, tmp_path: Path) -> None:
    lock = locked(store, b"x")
    path = tmp_path / "recipe.lock.yaml"
    path.write_text(format_lock(replace(lock, os_debs=())))
    assert read_lock(path).upstream == lock.upstream
    path.write_text(path.read_text().replace("dists/bookworm/InRelease", "dists/../x/InRelease"))
    with pytest.raises(RecipeError) as refused:
        read_lock(path)
    assert str(refused.value) == ('upstream[1].path: expected a path dists/SUITE/NAME, got "dists/../x/InRelease"')


def test_a_list_is_asked_for_by_its_digest_first(store: Store) -> None:
    packages, release = locked(store, b"x").upstream
    assert packages.paths == (
        f"dists/bookworm/main/binary-amd64/by-hash/SHA256/{sha256(b'x')}",
        f"dists/bookworm/{LIST}",
    )
    assert release.paths == ("dists/bookworm/InRelease",)


def test_only_the_digests_of_sha256_count() -> None:
    text = "MD5Sum:\n a 1 x\nSHA256:\n b 2 x\n c many y\n d 3\nSHA512:\n e 4 z\n"
    assert listed_digests(text) == {"x": (2, "b")}
