"""The SQLite file: rows of ciphertext by path, a few documents, one transaction per group of changes.

It runs in WAL mode with synchronous=FULL: a commit that returned is on the disk. The log is made as long as it gets
before it is used: where a file grows, a sync waits for the file system's journal, and so for all others who write.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from keystore.errors import StoreError

FILE = "store.db"
FORMAT = 1
_BUSY_S = 10.0
_CHECKPOINT_PAGES = 1000
_LOG_BYTES = 5 << 20
"""The log up to its checkpoint, and a large group beyond it."""
_ZEROS = bytes(1 << 18)
_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS document (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS record (path TEXT PRIMARY KEY, version INTEGER NOT NULL, generation INTEGER NOT NULL,"
    " term INTEGER NOT NULL, sealed BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS tail (number INTEGER PRIMARY KEY, name TEXT NOT NULL, line BLOB NOT NULL)",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One record as it lies on the disk; `version` counts the writes of this path, `generation` those of the store."""

    path: str
    version: int
    generation: int
    term: int
    sealed: bytes


class Database:
    """One file with one writer and one reader; each connection belongs to one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with told(path):
            if not path.exists():
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
            self._writer = self._connect()
            self._migrate()
            self._reader = self._connect()

    def _connect(self) -> sqlite3.Connection:
        found = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        found.execute("PRAGMA journal_mode=WAL")
        found.execute("PRAGMA synchronous=FULL")
        found.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        # What is overwritten must not stay readable in free pages: it would outlive a destroyed secret's key.
        found.execute("PRAGMA secure_delete=FAST")
        found.execute("PRAGMA trusted_schema=OFF")
        found.execute("PRAGMA cache_size=-2048")
        return found

    def _migrate(self) -> None:
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version not in (0, FORMAT):
            raise StoreError(f"expected a store of version {FORMAT}, got {version}", place=str(self.path))
        if version == 0:
            with self._transaction() as writer:
                for statement in _SCHEMA:
                    writer.execute(statement)
                writer.execute(f"PRAGMA user_version={FORMAT}")

    def close(self) -> None:
        """Close the file; what was committed is there."""
        self._reader.close()
        self._writer.close()

    def document(self, name: str) -> bytes | None:
        """Return a document, or None."""
        with told(self.path):
            found = self._reader.execute("SELECT value FROM document WHERE name=?", (name,)).fetchone()
        return None if found is None else bytes(found[0])

    def row(self, path: str) -> Row | None:
        """Return the row of a path, or None."""
        with told(self.path):
            return _row(self._reader, path)

    def paths(self, start: str, end: str) -> list[str]:
        """Return the paths from `start` up to but without `end`, sorted."""
        with told(self.path):
            found = self._reader.execute("SELECT path FROM record WHERE path>=? AND path<? ORDER BY path", (start, end))
            return [path for (path,) in found]

    def count(self, start: str, end: str) -> int:
        """Return how many paths there are from `start` up to but without `end`."""
        with told(self.path):
            (found,) = self._reader.execute(
                "SELECT count(*) FROM record WHERE path>=? AND path<?", (start, end)
            ).fetchone()
        return int(found)

    def size(self) -> int:
        """Return the bytes of the file and of its log."""
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        with told(self.path):
            return sum(one.stat().st_size for one in files if one.exists())

    def first(self, start: str, end: str) -> str | None:
        """Return the first path from `start` up to but without `end`, or None."""
        with told(self.path):
            sentence = "SELECT path FROM record WHERE path>=? AND path<? ORDER BY path LIMIT 1"
            found = self._reader.execute(sentence, (start, end)).fetchone()
        return None if found is None else str(found[0])

    def rows(self) -> Iterator[Row]:
        """Return every row, in order of the paths."""
        with told(self.path):
            for found in self._reader.execute("SELECT path,version,generation,term,sealed FROM record ORDER BY path"):
                yield Row(*found)

    def tail(self) -> list[tuple[str, bytes]]:
        """Return the lines of logs that may not be in their files yet, by name, in their order."""
        with told(self.path):
            found = self._reader.execute("SELECT name, line FROM tail ORDER BY number").fetchall()
        return [(name, bytes(line)) for name, line in found]

    def schema(self, sentence: str) -> list[tuple[str, ...]]:
        """Return what a sentence about the schema answers."""
        with told(self.path):
            return self._reader.execute(sentence).fetchall()

    def copy_to(self, path: Path) -> None:
        """Write a copy of what is committed into a new file of mode 0600."""
        with told(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
            self._reader.execute("VACUUM INTO ?", (str(path),))

    def reserve(self) -> None:
        """Fill the log up with zeros, which no reader takes for pages, as far as the disk has room for them.

        Raises: StoreError.
        """
        log = self.path.with_name(f"{self.path.name}-wal")
        # While this transaction is open nobody, in no process, appends to the log.
        with told(self.path), self._transaction(), contextlib.suppress(OSError):
            _fill(log, _LOG_BYTES)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Change rows and documents together; when the block ends all of it is on the disk, or nothing is.

        Raises: StoreError.
        """
        with told(self.path), self._transaction() as writer:
            yield Transaction(writer)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        writer = self._writer
        writer.execute("BEGIN IMMEDIATE")
        try:
            yield writer
            writer.execute("COMMIT")
        except BaseException:
            # A full disk makes SQLite roll back by itself; otherwise nothing of this group may stay.
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            raise


class Transaction:
    """The changes of one group, before they are on the disk."""

    def __init__(self, writer: sqlite3.Connection) -> None:
        self._writer = writer

    def row(self, path: str) -> Row | None:
        """Return the row of a path as this transaction sees it."""
        return _row(self._writer, path)

    def put(self, rows: Iterable[Row]) -> None:
        """Write rows in place of those of the same path."""
        self._writer.executemany(
            "INSERT OR REPLACE INTO record (path,version,generation,term,sealed) VALUES (?,?,?,?,?)",
            ((row.path, row.version, row.generation, row.term, row.sealed) for row in rows),
        )

    def delete(self, paths: Iterable[str]) -> None:
        """Forget rows."""
        self._writer.executemany("DELETE FROM record WHERE path=?", ((path,) for path in paths))

    def keep_tail(self, lines: Iterable[tuple[str, bytes]], *, anew: bool) -> None:
        """Keep lines of logs until their files are on the disk; `anew` says that those so far are."""
        if anew:
            self._writer.execute("DELETE FROM tail")
        self._writer.executemany("INSERT INTO tail (name, line) VALUES (?,?)", lines)

    def clear(self) -> None:
        """Forget all rows and documents."""
        self._writer.execute("DELETE FROM record")
        self._writer.execute("DELETE FROM document")

    def keep(self, name: str, value: bytes) -> None:
        """Write a document."""
        self._writer.execute("INSERT OR REPLACE INTO document (name,value) VALUES (?,?)", (name, value))


def _fill(path: Path, size: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        at = before = os.fstat(descriptor).st_size
        try:
            while at < size:
                at += os.pwrite(descriptor, _ZEROS[: size - at], at)
            os.fsync(descriptor)
        except OSError:
            os.ftruncate(descriptor, before)
            raise
    finally:
        os.close(descriptor)


def _row(connection: sqlite3.Connection, path: str) -> Row | None:
    sentence = "SELECT path,version,generation,term,sealed FROM record WHERE path=?"
    found = connection.execute(sentence, (path,)).fetchone()
    return None if found is None else Row(*found)


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what SQLite and the operating system refuse into a StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"expected a usable store, got '{error}'", place=str(path)) from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise StoreError(f"expected a usable store, got '{reason}'", place=str(path)) from error
