"""The sealed store: what it keeps, and every change from outside that it finds."""

import contextlib
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keystore.barrier import sealing, snapshot
from keystore.barrier.database import Database
from keystore.barrier.store import Store
from keystore.errors import StoreError, UnsealError

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(params=["gm", "standard"])
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Store, bytearray]]:
    path = tmp_path / "store.db"
    database = Database(path)
    seal, _, keyring, root_key = sealing.create(request.param, 3, 2, NOW)
    yield path, Store.create(database, seal, keyring), root_key
    database.close()


def _opened(path: Path, root_key: bytearray) -> Store:
    database = Database(path)
    try:
        seal = sealing.Seal.parse(database.document("seal") or b"")
        return Store.open(database, seal, seal.open_keyring(root_key))
    finally:
        database.close()


def test_records_are_kept_sealed(made: tuple[Path, Store, bytearray]) -> None:
    path, store, root_key = made
    store.commit({"a/b": b"first-canary", "a/c/d": b"second-canary", "z": b""})
    store.commit({"a/b": b"third-canary", "z": None})
    assert (store.get("a/b"), store.get("z"), store.generation) == (b"third-canary", None, 2)
    assert (store.names(""), store.names("a/"), store.names("a/c/")) == (["a/"], ["b", "c/"], ["d"])
    assert _opened(path, root_key).generation == 2
    assert not any(b"canary" in one.read_bytes() for one in path.parent.iterdir())


def test_a_rotation_leaves_what_is_there(made: tuple[Path, Store, bytearray]) -> None:
    path, store, root_key = made
    store.commit({"old": b"1"})
    keyring = store.keyring.rotated(NOW)
    store.commit({}, seal=store.seal.with_keyring(keyring, root_key), keyring=keyring)
    store.commit({"new": b"2"})
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT path, term FROM record ORDER BY path").fetchall() == [("new", 2), ("old", 1)]
    _opened(path, root_key)


@pytest.mark.parametrize(
    "sentence",
    [
        "DELETE FROM record WHERE path='a'",
        "UPDATE record SET version=version+1 WHERE path='a'",
        "UPDATE record SET generation=1 WHERE path='b'",
        "UPDATE record SET path='c' WHERE path='a'",
        "UPDATE record SET sealed=(SELECT sealed FROM record WHERE path='b') WHERE path='a'",
        "UPDATE record SET sealed=zeroblob(40) WHERE path='a'",
        "INSERT INTO record SELECT 'x', version, generation, term, sealed FROM record WHERE path='a'",
    ],
)
def test_every_change_from_outside_is_found(made: tuple[Path, Store, bytearray], sentence: str) -> None:
    path, store, root_key = made
    store.commit({"a": b"1"})
    store.commit({"a": b"2", "b": b"3"})
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(sentence)
    with pytest.raises(StoreError, match="of which some were changed, cut out or put back"):
        _opened(path, root_key)


def test_a_ciphertext_is_bound_to_its_place(made: tuple[Path, Store, bytearray]) -> None:
    path, store, _ = made
    store.commit({"a": b"1", "b": b"2"})
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE record SET sealed=(SELECT sealed FROM record WHERE path='b') WHERE path='a'")
    store._cache.clear()
    with pytest.raises(StoreError) as refused:
        store.get("a")
    assert str(refused.value) == f"{path}: record 'a': expected a record that this store sealed, got altered bytes"


def test_a_changed_seal_opens_nothing(made: tuple[Path, Store, bytearray]) -> None:
    _, store, root_key = made
    seal, shares = store.seal.rekeyed(root_key, 3, 2)
    assert seal.open_root(sealing.join(shares[1:])) == root_key
    with pytest.raises(UnsealError, match="expected shares of this store's unseal key, got others"):
        store.seal.open_root(sealing.join(shares[1:]))


def test_a_commit_that_fails_changes_nothing(made: tuple[Path, Store, bytearray]) -> None:
    path, store, root_key = made
    store.commit({"a": b"1"})
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        store._database._writer.execute("PRAGMA busy_timeout=10")
        with pytest.raises(StoreError) as refused:
            store.commit({"a": b"2", "b": b"3"})
        other.rollback()
    assert str(refused.value) == f"{path}: expected a usable store, got 'database is locked'"
    assert (store.get("a"), store.get("b"), store.generation) == (b"1", None, 1)
    _opened(path, root_key)


def _copied(data: bytes, path: Path, change: Callable[[sqlite3.Connection], object]) -> bytes:
    path.write_bytes(data)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        change(connection)
    return path.read_bytes()


def test_a_snapshot_is_checked_before_it_is_restored(made: tuple[Path, Store, bytearray], tmp_path: Path) -> None:
    path, store, root_key = made
    store.commit({"a": b"1"})
    data = snapshot.take(store._database)
    store.commit({"a": b"2"})
    for change, told in (
        ("CREATE VIEW v AS SELECT 1", "expected a snapshot of a store, got another database"),
        ("UPDATE record SET version=9", "of which some were changed, cut out or put back"),
    ):
        altered = _copied(data, tmp_path / "copy", lambda one, sentence=change: one.execute(sentence))
        with pytest.raises(StoreError, match=told), snapshot.opened(altered, store._database) as found:
            snapshot.restore(store, found, root_key, force=True)
    with (
        pytest.raises(StoreError, match="expected a snapshot of a store, got something else"),
        snapshot.opened(b"x" * 100, store._database),
    ):
        pass
    with snapshot.opened(data, store._database) as found:
        with pytest.raises(StoreError, match="expected a snapshot of generation 2 or later, got 1"):
            snapshot.restore(store, found, root_key, force=False)
        snapshot.restore(store, found, root_key, force=True)
    assert (store.get("a"), store.generation) == (b"1", 3)
    _opened(path, root_key)
    assert sorted(one.name for one in tmp_path.iterdir() if "tmp" in one.name) == []


def _crashed(path: Path, to: Path) -> Path:
    """Return a copy of a store as a kill leaves it: nothing of it was closed."""
    to.mkdir()
    for one in path.parent.glob("store.db*"):
        shutil.copy(one, to)
    return to / path.name


def test_a_reserved_log_grows_no_more_and_hides_nothing(made: tuple[Path, Store, bytearray], tmp_path: Path) -> None:
    path, store, root_key = made
    store.commit({"before": b"1"})
    store.reserve()
    log = path.with_name("store.db-wal")
    size = log.stat().st_size
    assert size == 5 << 20
    for number in range(300):
        store.commit({f"after/{number % 40}": b"x" * 2000})
    assert log.stat().st_size == size
    store.reserve()
    copied = _crashed(path, tmp_path / "crashed")
    assert _opened(copied, root_key).generation == store.generation == 301
    with contextlib.closing(sqlite3.connect(copied)) as connection:
        assert connection.execute("SELECT count(*) FROM record").fetchone() == (41,)


def test_a_log_that_finds_no_room_stays_as_it_was(made: tuple[Path, Store, bytearray]) -> None:
    path, store, root_key = made
    store.commit({"a": b"1"})
    size = path.with_name("store.db-wal").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
    try:
        store.reserve()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.with_name("store.db-wal").stat().st_size == size
    store.commit({"a": b"2"})
    assert _opened(path, root_key).generation == 2


def test_what_is_not_there_is_asked_once_and_found_when_written(made: tuple[Path, Store, bytearray]) -> None:
    path, store, _ = made
    assert store.get("later") is None
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE record RENAME TO away")
    assert store.get("later") is None
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE away RENAME TO record")
    store.commit({"later": b"1"})
    assert store.get("later") == b"1"
    store.commit({"later": None})
    assert store.get("later") is None


def test_a_wiped_store_computes_nothing(made: tuple[Path, Store, bytearray]) -> None:
    path, store, _ = made
    store.wipe()
    for act in (lambda: store.mac("token", b"x"), lambda: store.commit({"a": b"1"})):
        with pytest.raises(StoreError) as refused:
            act()
        assert str(refused.value) == f"{path}: expected an unsealed store, got a sealed one"
