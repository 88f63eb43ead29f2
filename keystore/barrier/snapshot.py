"""Snapshots: a copy of the store as it lies on the disk, ciphertext and all, and the way back."""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from keystore.barrier.database import Database, told
from keystore.barrier.keyring import Keyring
from keystore.barrier.sealing import DOCUMENT, Seal
from keystore.barrier.store import Store
from keystore.errors import StoreError

_MAGIC = b"SQLite format 3\0"
_SCHEMA = "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"


def take(database: Database) -> bytes:
    """Return a consistent copy of a store.

    Raises: StoreError.
    """
    path = database.path.with_name(f".snapshot.{secrets.token_hex(8)}.tmp")
    with told(path):
        try:
            database.copy_to(path)
            return path.read_bytes()
        finally:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def opened(data: bytes, beside: Database) -> Iterator[Database]:
    """Open the bytes of a snapshot, after its schema was found to be ours alone.

    Raises: StoreError.
    """
    if not data.startswith(_MAGIC):
        raise StoreError("expected a snapshot of a store, got something else")
    path = beside.path.with_name(f".restore.{secrets.token_hex(8)}.tmp")
    with told(path):
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            _check_schema(path, beside)
            database = Database(path)
            try:
                yield database
            finally:
                database.close()
        finally:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)


def seal_of(database: Database) -> Seal:
    """Return the seal of a snapshot.

    Raises: KeystoreError.
    """
    data = database.document(DOCUMENT)
    if data is None:
        raise StoreError("expected a snapshot of a store that was initialised, got another")
    return Seal.parse(data)


def restore(store: Store, snapshot: Database, root_key: bytearray, *, force: bool) -> Seal:
    """Put a store's records back as a snapshot of the same store has them; return the seal that is now on the disk.

    The store's generation goes on from the higher of both, so that an older snapshot stays an older one.
    Raises: StoreError when the snapshot was changed, or is older and this is not forced.
    """
    seal = seal_of(snapshot)
    keyring = seal.open_keyring(root_key)
    found = Store.open(snapshot, seal, keyring)
    if found.generation < store.generation and not force:
        raise StoreError(
            f"expected a snapshot of generation {store.generation} or later, got {found.generation}",
            hint="what was written since would be lost: force the restore if that is meant",
        )
    newer: Keyring = max(store.keyring, keyring, key=lambda one: one.active.number)
    kept = store.seal.with_keyring(newer, root_key)
    store.take_over(snapshot, found, kept, newer)
    return kept


def replace(database: Database, snapshot: Database) -> Seal:
    """Put a snapshot of another store in place of this one; its own shares unseal it then.

    Raises: StoreError.
    """
    seal = seal_of(snapshot)
    with database.transaction() as transaction:
        transaction.clear()
        transaction.put(snapshot.rows())
        for name in (DOCUMENT, "head"):
            transaction.keep(name, snapshot.document(name) or b"")
    return seal


def _check_schema(path: Path, ours: Database) -> None:
    """Refuse a file with views, triggers or other tables, before anything of it is read as a store."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        connection.execute("PRAGMA trusted_schema=OFF")
        if connection.execute(_SCHEMA).fetchall() != ours.schema(_SCHEMA):
            raise StoreError("expected a snapshot of a store, got another database")
        if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise StoreError("expected a whole snapshot, got a damaged one")
    finally:
        connection.close()
