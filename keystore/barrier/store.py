"""Records by path, sealed one by one; any change that this store did not make is found when it is unsealed.

Each record is bound to store, path, version, generation and term. Over all records together a sum of keyed hashes is
kept with the generation, so that a row that was cut out, or put back as it once was, is found too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from keystore import document
from keystore.barrier.cipher import TAG_BYTES, Mac, Suite
from keystore.barrier.database import Database, Row, Transaction
from keystore.barrier.keyring import Keyring
from keystore.barrier.sealing import Seal
from keystore.errors import StoreError

HEAD = "head"
_HEAD_SHAPE = {"generation": int, "records": int, "digest": str}
_MODULUS = 1 << 256
_TERM_BYTES = 4
_CACHED_RECORDS = 4096
_CACHED_BYTES = 4096
_UNKNOWN = b"no record has this value: it is told by its identity"
Changes = Mapping[str, bytes | None]
"""What to write by path; None deletes."""


@dataclass(frozen=True, slots=True)
class Tail:
    """Lines of logs, by the log's name; `anew` says that all earlier ones are in their files and on the disk."""

    lines: Sequence[tuple[str, bytes]]
    anew: bool


@dataclass(frozen=True, slots=True)
class Head:
    """Where the store stands: its generation, how many records it has, and the sum of their hashes."""

    generation: int
    records: int
    digest: int


class _Macs:
    """The keys of a keyring in the form that computes: their schedules are made once."""

    def __init__(self, suite: Suite, keyring: Keyring) -> None:
        self.salt = suite.keyed(keyring.salt)
        self.digest = suite.keyed(keyring.digest)
        self._suite = suite
        self._keyring = keyring
        self._terms: dict[int, Mac] = {}

    def term(self, number: int, place: str) -> Mac:
        """Return the MAC under the key of a term.

        Raises: KeystoreError.
        """
        found = self._terms.get(number)
        if found is None:
            found = self._terms[number] = self._suite.keyed(self._keyring.key(number, place))
        return found


class Store:
    """An unsealed store. One thread commits at a time; another one may read meanwhile and sees what was committed."""

    def __init__(self, database: Database, seal: Seal, keyring: Keyring, head: Head) -> None:
        self._database = database
        self._seal = seal
        self._suite = seal.suite
        self._keyring = keyring
        self._macs: _Macs | None = _Macs(self._suite, keyring)
        self._head = head
        self._cache: dict[str, bytes | None] = {}
        self._lock = threading.Lock()

    @classmethod
    def create(cls, database: Database, seal: Seal, keyring: Keyring) -> Store:
        """Write seal and head of an empty store."""
        made = cls(database, seal, keyring, Head(0, 0, 0))
        with database.transaction() as transaction:
            transaction.keep("seal", seal.encode())
            made._keep_head(transaction, made._head, keyring, made._keys)
        return made

    @classmethod
    def open(cls, database: Database, seal: Seal, keyring: Keyring) -> Store:
        """Check every row of a store against its head.

        Raises: StoreError that says what was changed.
        """
        made = cls(database, seal, keyring, Head(0, 0, 0))
        made._head = made._read_head()
        made._check_rows()
        return made

    @property
    def seal(self) -> Seal:
        """The seal that is on the disk."""
        return self._seal

    @property
    def keyring(self) -> Keyring:
        """The keys in use."""
        return self._keyring

    @property
    def generation(self) -> int:
        """How many groups of changes were committed."""
        return self._head.generation

    def mac(self, purpose: str, data: bytes) -> bytes:
        """Return a MAC under the store's salt; it stays the same over rotations."""
        return self._keys.salt(purpose.encode() + b"\0" + data)

    @property
    def _keys(self) -> _Macs:
        if self._macs is None:
            raise StoreError("expected an unsealed store, got a sealed one", place=str(self._database.path))
        return self._macs

    def get(self, path: str) -> bytes | None:
        """Return a record, or None.

        Raises: StoreError.
        """
        # The thread that commits may push an entry out at any time: it is looked up once.
        found = self._cache.get(path, _UNKNOWN)
        if found is not _UNKNOWN:
            return found
        row = self._database.row(path)
        value = None if row is None else self._open(row)
        # That there is nothing is worth remembering too: policies and settings that nobody wrote are asked for often.
        self._remember(path, value)
        return value

    def names(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix, sorted; a folder's ends with '/'."""
        return list(self._names(prefix))

    def _names(self, prefix: str) -> Iterator[str]:
        start, end = prefix, prefix_end(prefix)
        while (found := self._database.first(start, end)) is not None:
            name, slash, _ = found[len(prefix) :].partition("/")
            if name or slash:
                yield name + slash
            start = prefix_end(prefix + name + slash) if slash else found + "\0"

    def paths(self, prefix: str) -> list[str]:
        """Return all paths below a prefix, sorted."""
        return self._database.paths(prefix, prefix_end(prefix))

    def count(self, prefix: str) -> int:
        """Return how many records are below a prefix."""
        return self._database.count(prefix, prefix_end(prefix))

    def commit(
        self,
        changes: Changes,
        *,
        seal: Seal | None = None,
        keyring: Keyring | None = None,
        tail: Tail | None = None,
    ) -> None:
        """Keep changes together; when this returns they are on the disk, when it raises nothing changed.

        The `tail` of logs goes with them, so that one sync serves both.

        Raises: StoreError.
        """
        with self._lock:
            ring = keyring or self._keyring
            with self._database.transaction() as transaction:
                macs = self._keys if ring is self._keyring else _Macs(self._suite, ring)
                head = self._apply(transaction, changes, ring, macs)
                self._keep_head(transaction, head, ring, macs)
                if seal is not None:
                    transaction.keep("seal", seal.encode())
                if tail is not None:
                    transaction.keep_tail(tail.lines, anew=tail.anew)
            self._head, self._keyring, self._seal = head, ring, seal or self._seal
            self._macs = macs
            # The head was sealed too.
            ring.active.written += len(changes) + 1
        for path, value in changes.items():
            self._remember(path, value)

    def reserve(self) -> None:
        """Prepare the disk for commits; where that fails they are slower, and nothing else.

        Raises: StoreError.
        """
        with self._lock:
            self._database.reserve()

    def take_over(self, other: Database, found: Store, seal: Seal, keyring: Keyring) -> None:
        """Put the records of another copy of this store in place of these, whole or not at all.

        Raises: StoreError.
        """
        with self._lock:
            generation = max(self._head.generation, found._head.generation) + 1
            head = Head(generation, found._head.records, found._head.digest)
            with self._database.transaction() as transaction:
                transaction.clear()
                transaction.put(other.rows())
                macs = _Macs(self._suite, keyring)
                self._keep_head(transaction, head, keyring, macs)
                transaction.keep("seal", seal.encode())
            self._head, self._keyring, self._seal = head, keyring, seal
            self._macs = macs
            self._cache.clear()

    def wipe(self) -> None:
        """Forget keys and records."""
        self._cache.clear()
        self._macs = None
        self._keyring.wipe()

    def _apply(self, transaction: Transaction, changes: Changes, ring: Keyring, macs: _Macs) -> Head:
        generation, term = self._head.generation + 1, ring.active.number
        key = macs.term(term, str(self._database.path))
        records, digest = self._head.records, self._head.digest
        rows, gone = [], []
        for path, value in changes.items():
            old = transaction.row(path)
            if old is not None:
                records, digest = records - 1, digest - self._hash(old)
            if value is None:
                gone.append(path)
                continue
            version = old.version + 1 if old else 1
            bound = self._bound(path, version, generation, term)
            row = Row(path, version, generation, term, self._suite.seal_by(key, value, bound))
            records, digest = records + 1, digest + self._hash(row)
            rows.append(row)
        transaction.put(rows)
        transaction.delete(gone)
        return Head(generation, records, digest % _MODULUS)

    def _hash(self, row: Row) -> int:
        tag = row.sealed[-TAG_BYTES:]
        bound = self._bound(row.path, row.version, row.generation, row.term)
        return int.from_bytes(self._keys.digest(bound + tag), "big")

    def _bound(self, path: str, version: int, generation: int, term: int) -> bytes:
        return f"ferry/record/v1\0{self._seal.store}\0{path}\0{version}\0{generation}\0{term}".encode()

    def _open(self, row: Row) -> bytes:
        bound = self._bound(row.path, row.version, row.generation, row.term)
        key = self._keys.term(row.term, row.path)
        return self._suite.unseal_by(key, row.sealed, bound, f"{self._database.path}: record {row.path!r}")

    def _remember(self, path: str, value: bytes | None) -> None:
        """Keep small records in clear while unsealed: tokens and policies are read again and again."""
        if value is not None and len(value) > _CACHED_BYTES:
            self._cache.pop(path, None)
            return
        if len(self._cache) >= _CACHED_RECORDS and path not in self._cache:
            self._cache.pop(next(iter(self._cache)), None)
        self._cache[path] = value

    def _keep_head(self, transaction: Transaction, head: Head, ring: Keyring, macs: _Macs) -> None:
        term = ring.active.number
        told = {"generation": head.generation, "records": head.records, "digest": f"{head.digest:064x}"}
        key = macs.term(term, HEAD)
        sealed = self._suite.seal_by(key, document.canonical(told), self._head_bound(term))
        transaction.keep(HEAD, term.to_bytes(_TERM_BYTES, "big") + sealed)

    def _read_head(self) -> Head:
        place = f"{self._database.path}: head"
        sealed = self._database.document(HEAD)
        if sealed is None:
            raise StoreError("expected the head of the store, got none", place=place)
        term = int.from_bytes(sealed[:_TERM_BYTES], "big")
        key = self._keys.term(term, place)
        text = self._suite.unseal_by(key, sealed[_TERM_BYTES:], self._head_bound(term), place)
        found = document.fields(document.parse(text, place), place, _HEAD_SHAPE)
        return Head(found["generation"], found["records"], int(found["digest"], 16))

    def _head_bound(self, term: int) -> bytes:
        return f"ferry/head/v1\0{self._seal.store}\0{term}".encode()

    def _check_rows(self) -> None:
        records = digest = 0
        for row in self._database.rows():
            records, digest = records + 1, digest + self._hash(row)
        if (records, digest % _MODULUS) != (self._head.records, self._head.digest):
            raise StoreError(
                f"expected the {self._head.records} records of generation {self._head.generation},"
                f" got {records} of which some were changed, cut out or put back",
                place=str(self._database.path),
                hint="restore a snapshot, keep this file as evidence, and find out who changed it",
            )


def prefix_end(prefix: str) -> str:
    """Return the first text that sorts after all that begin with a prefix."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1) if prefix else "\U0010ffff"
