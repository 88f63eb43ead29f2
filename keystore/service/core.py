"""The life of a store: made, sealed, unsealed, sealed again; what is in memory only while it is unsealed is here."""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from keystore.access import readymade
from keystore.access.batch import BatchSeal
from keystore.access.token import Token, Tokens
from keystore.barrier import cipher, sealing, snapshot
from keystore.barrier.database import FILE, Database
from keystore.barrier.keyring import Keyring
from keystore.barrier.overlay import Loop, Overlay, View
from keystore.barrier.sealing import Seal
from keystore.barrier.store import Store
from keystore.custody import keeping
from keystore.custody.custodian import Custodian
from keystore.custody.keeping import Custody
from keystore.custody.passphrase import KIND as PASSPHRASE
from keystore.custody.passphrase import PassphraseCustodian
from keystore.engines.request import RequestError
from keystore.errors import KeystoreError, UnsealError
from keystore.service import mounts, rotation
from keystore.service.auditing import Auditing
from keystore.service.backoff import Backoff
from keystore.service.expiry import Expiry
from keystore.service.log import CORE, Log
from keystore.service.quotas import Limiter
from keystore.service.traffic import Traffic

VERSION = "1.17.0+ferry"
STORAGE = "sqlite"


@dataclass(slots=True)
class Progress:
    """Shares that were entered so far, towards an unseal, a rekey or a root token."""

    nonce: str = ""
    shares: list[bytes] = field(default_factory=list, repr=False)

    def add(self, share: bytes) -> None:
        """Take one more share; one that is there already does not count again."""
        if not self.nonce:
            self.begin()
        if share not in self.shares:
            self.shares.append(share)

    def begin(self) -> None:
        """Give this attempt a name, so that shares for another one are refused."""
        self.nonce = str(uuid.uuid4())

    def reset(self) -> None:
        """Forget the shares."""
        self.nonce, self.shares = "", []


@dataclass(slots=True)
class Rekey:
    """A rekey under way; `pending` is the seal under the new shares until enough of them were shown to be at hand."""

    shares: int
    threshold: int
    progress: Progress
    verified: bool = False
    pending: Seal | None = None
    verifying: Progress = field(default_factory=Progress)


@dataclass(slots=True)
class RootToken:
    """The making of a root token under way: the result is masked by `otp`, or goes to nobody else."""

    otp_length: int
    progress: Progress
    otp: bytes = field(repr=False)


class Unsealed:
    """What there is only while the store is open."""

    def __init__(self, store: Store, root_key: bytearray, loop: Loop, executor: Executor, auditing: Auditing) -> None:
        self.store = store
        self.root_key = root_key
        self.overlay = Overlay(store, loop, executor)
        self.overlay.tail, self.overlay.tail_kept = auditing.tail, auditing.tail_kept
        self.expiry = Expiry()
        batches = BatchSeal(store.seal.suite, store.seal.store, store.mac)
        self.tokens = Tokens(store.mac, self.expiry.token, batches)

    def view(self) -> View:
        """Return a view for one request."""
        return View(self.overlay)


class Core:
    """One store in one directory."""

    def __init__(
        self,
        directory: Path,
        *,
        loop: Loop,
        executor: Executor,
        profile: str = "gm",
        clock: Callable[[], float] = time.time,
        log: Log | None = None,
    ) -> None:
        self.database = Database(directory / FILE)
        self.directory = directory
        self.profile = profile
        self.clock = clock
        self.loop = loop
        self.executor = executor
        self.backoff = Backoff(clock)
        self.auditing = Auditing()
        self.limiter = Limiter()
        self.log = log or Log()
        self.traffic = Traffic(self.now, self.log)
        self.progress = Progress()
        self.rekey: Rekey | None = None
        self.root_token: RootToken | None = None
        self.unsealed: Unsealed | None = None
        self.seal_soon = False
        self.seal_document = self._read_seal()

    def _read_seal(self) -> Seal | None:
        data = self.database.document(sealing.DOCUMENT)
        return None if data is None else Seal.parse(data)

    @property
    def initialised(self) -> bool:
        """Whether the store was made."""
        return self.seal_document is not None

    @property
    def open(self) -> Unsealed:
        """What there is while unsealed.

        Raises: RequestError of status 503.
        """
        if self.unsealed is None:
            raise RequestError("Vault is sealed", status=503)
        return self.unsealed

    @property
    def seal(self) -> Seal:
        """The seal of the store.

        Raises: RequestError when there is none yet.
        """
        if self.seal_document is None:
            raise RequestError("Vault is not initialized", status=400)
        return self.seal_document

    def now(self) -> datetime:
        """Return the time."""
        return datetime.fromtimestamp(self.clock(), UTC)

    def initialise(self, shares: int, threshold: int) -> tuple[list[bytes], str]:
        """Make the store; return the shares of its unseal key and its first root token. It stays sealed.

        Raises: RequestError, KeystoreError.
        """
        if self.initialised:
            raise RequestError("Vault is already initialized")
        seal, parts, keyring, root_key = sealing.create(self.profile, shares, threshold, self.now())
        store = Store.create(self.database, seal, keyring)
        token = self._furnish(store)
        self.seal_document = seal
        store.wipe()
        cipher.wipe(root_key)
        return parts, token

    def _furnish(self, store: Store) -> str:
        """Write what every store begins with: mounts, policies, a root token."""
        view = _Direct(store)
        for table, found in zip((mounts.SECRET, mounts.AUTH), mounts.first_tables(), strict=True):
            mounts.write(view, table, found)
        for name, text in readymade.POLICIES.items():
            view.put(readymade.PREFIX + name, text.encode())
        secret, _ = Tokens(store.mac, lambda _at, _id: None).make(view, root_token(int(self.clock())))
        store.commit(view.changes)
        return secret

    def enter_share(self, share: bytes) -> bool:
        """Take one share of the unseal key; with the last one that is needed, unseal. Tell whether it is unsealed.

        Raises: UnsealError, StoreError, KeystoreError; the shares so far are forgotten then.
        """
        if self.unsealed is not None:
            return True
        self.backoff.check("unseal")
        self.progress.add(share)
        if len(self.progress.shares) < self.seal.threshold:
            return False
        parts = self.progress.shares
        self.progress.reset()
        root_key = self.open_root(parts, "unseal")
        self.unseal(root_key)
        return True

    def unseal_by(self, custody: Custody, custodian: Custodian) -> None:
        """Unseal with what a custodian keeps; failures slow the next try down.

        Raises: UnsealError, PassphraseError, StoreError, KeystoreError.
        """
        if self.unsealed is not None:
            return
        self.backoff.check("unseal")
        try:
            root_key = keeping.open_root(custody, custodian, self.seal)
        except KeystoreError:
            self.backoff.failed("unseal")
            raise
        self.backoff.succeeded("unseal")
        self.progress.reset()
        self.unseal(root_key)

    def enter_passphrase(self, passphrase: str) -> None:
        """Unseal with the passphrase of an operator who keeps the root key.

        Raises: as `unseal_by`; RequestError where nobody keeps it so.
        """
        kept = (keeping.read(self.directory, name) for name in keeping.names(self.directory))
        found = next((custody for custody in kept if custody.kind == PASSPHRASE), None)
        if found is None:
            raise RequestError("expected a share, as no custody by passphrase is there, got a passphrase")
        self.unseal_by(found, PassphraseCustodian(profile=self.seal.profile, passphrase=passphrase))

    def open_root(self, parts: Sequence[bytes], what: str, seal: Seal | None = None) -> bytearray:
        """Return the root key that shares open, of this seal or one to come; failures slow the next try down.

        Raises: UnsealError.
        """
        try:
            found = (seal or self.seal).open_root(sealing.join(parts))
        except UnsealError:
            self.backoff.failed(what)
            raise
        except KeystoreError as error:
            self.backoff.failed(what)
            raise UnsealError(error.message) from error
        self.backoff.succeeded(what)
        return found

    def unseal(self, root_key: bytearray) -> None:
        """Open the store with its root key.

        Raises: StoreError when it was changed from outside.
        """
        keyring: Keyring = self.seal.open_keyring(root_key)
        store = Store.open(self.database, self.seal, keyring)
        rotation.recall(store)
        opened = Unsealed(store, root_key, self.loop, self.executor, self.auditing)
        self.auditing.open(opened.view(), store.mac, self.seal.suite.mac_name, self.now(), self.database.tail())
        opened.expiry.load(opened.view(), int(self.clock()))
        self.unsealed = opened
        self.executor.submit(store.reserve)

    def close(self) -> None:
        """Seal: wait for what is on its way to the disk, then forget every key."""
        if self.unsealed is None:
            return
        opened, self.unsealed = self.unsealed, None
        opened.overlay.close(RequestError("Vault is sealed", status=503))
        self.executor.submit(lambda: None).result()
        self._close_audit(opened.store)
        opened.store.wipe()
        cipher.wipe(opened.root_key)
        self.rekey = self.root_token = None
        self.progress.reset()

    def _close_audit(self, store: Store) -> None:
        """Sign where the logs end, and keep that and the use of the key; a disk that is full does not keep it open."""
        try:
            self.auditing.sign(self.now())
            if changes := {**self.auditing.heads(), **rotation.use_of(store)}:
                store.commit(changes)
        except (KeystoreError, OSError) as error:
            self.log.error(CORE, str(error))
        finally:
            self.auditing.close()

    def restore(self, data: bytes, *, force: bool) -> None:
        """Put the store back as a snapshot has it. One of another store must be forced, and leaves this one sealed.

        Raises: KeystoreError.
        """
        opened = self.open
        with snapshot.opened(data, self.database) as found:
            root_key = bytearray(opened.root_key)
            if snapshot.seal_of(found).store != self.seal.store:
                self._replace(found, force=force)
                return
            opened.overlay.close(RequestError("the store is being restored", status=503))
            self.executor.submit(lambda: None).result()
            seal = snapshot.restore(opened.store, found, root_key, force=force)
        self.close()
        self.seal_document = seal
        self.unseal(root_key)

    def _replace(self, found: Database, *, force: bool) -> None:
        if not force:
            raise RequestError(
                "expected a snapshot of this store, got one of another: force the restore if that is meant"
            )
        self.close()
        self.seal_document = snapshot.replace(self.database, found)

    def rotate(self) -> None:
        """Begin a new term; what is there stays under its own.

        Raises: StoreError.
        """
        opened = self.open
        keyring = opened.store.keyring.rotated(self.now())
        self.replace_seal(self.seal.with_keyring(keyring, opened.root_key), keyring)

    def replace_seal(self, seal: Seal, keyring: Keyring | None = None) -> None:
        """Keep another seal, and perhaps another keyring, on the disk.

        Raises: StoreError.
        """
        self.open.store.commit({}, seal=seal, keyring=keyring)
        self.seal_document = seal


class _Direct(View):
    """A view of a store that nobody else uses yet."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.changes: dict[str, bytes | None] = {}
        self.seen = None

    def get(self, path: str) -> bytes | None:
        """Return a record, or None."""
        return self.changes[path] if path in self.changes else self._store.get(path)


def root_token(now: int) -> Token:
    """Return a root token, before it is kept."""
    return Token(
        id="",
        accessor="",
        path="auth/token/root",
        policies=("root",),
        display_name="root",
        created=now,
        meta=None,
    )


def new_otp(length: int) -> str:
    """Return a one-time password of letters and digits."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "".join(secrets.choice(letters) for _ in range(length))
