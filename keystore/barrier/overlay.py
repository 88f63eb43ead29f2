"""Group commit: requests that come while the disk is busy share its next sync, and each answer waits for what it saw.

All methods but the commit itself run in the thread of the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Protocol

from keystore.barrier.store import Changes, Store, Tail
from keystore.errors import KeystoreError, StoreError

QUICK_S = 0.02
"""A commit that took longer than this makes the next one run beside the loop."""
Done = Callable[[KeystoreError | None], None]


class Loop(Protocol):
    """What is needed of an event loop."""

    def call_soon(self, callback: Callable[..., object], *args: object) -> object:
        """Call back in this thread, soon."""

    def call_soon_threadsafe(self, callback: Callable[..., object], *args: object) -> object:
        """Call back in the loop's thread."""


class Group:
    """Changes that go to the disk together, and who waits for them."""

    def __init__(self) -> None:
        self.changes: dict[str, bytes | None] = {}
        self.waiting: list[Done] = []


class Overlay:
    """A store with the changes that are on their way to the disk laid over it."""

    def __init__(self, store: Store, loop: Loop, executor: Executor) -> None:
        self.store = store
        self._loop = loop
        self._executor = executor
        self._open = Group()
        self._flying: Group | None = None
        self._scheduled = False
        self.tail: Callable[[], Tail | None] = lambda: None
        self.tail_kept: Callable[[bool], None] = lambda _kept: None
        self._quick = True

    def find(self, path: str) -> tuple[bytes | None, Group | None]:
        """Return a record, and the group that must reach the disk before anyone is told of it."""
        for group in (self._open, self._flying):
            if group is not None and path in group.changes:
                return group.changes[path], group
        return self.store.get(path), None

    def names(self, prefix: str) -> tuple[list[str], Group | None]:
        """Return the names directly below a prefix, and the group to wait for."""
        changed: dict[str, bytes | None] = {}
        group = None
        for one in (self._flying, self._open):
            hits = {} if one is None else {path: one.changes[path] for path in one.changes if path.startswith(prefix)}
            if hits:
                changed |= hits
                group = one
        if not changed:
            return self.store.names(prefix), None
        paths = set(self.store.paths(prefix))
        for path, value in changed.items():
            (paths.discard if value is None else paths.add)(path)
        return sorted(set(_directly_below(paths, prefix))), group

    def keep(self, changes: Changes, done: Done) -> None:
        """Send changes to the disk with the next group; `done` is told when they are there, or why they are not."""
        self._open.changes.update(changes)
        self.wait(self._open, done)

    def wait(self, group: Group | None, done: Done) -> None:
        """Call back when a group is on the disk; None stands for what is there already."""
        if group is None or (group is not self._open and group is not self._flying):
            done(None)
            return
        group.waiting.append(done)
        if group is self._open and self._flying is None and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._fly)

    def is_flying(self, group: Group) -> bool:
        """Tell whether a group is the one on its way, which lands before the open one."""
        return group is self._flying

    def close(self, error: KeystoreError) -> None:
        """Refuse what has not begun its way to the disk; what has, still gets there."""
        refused, self._open = self._open, Group()
        for done in refused.waiting:
            done(error)

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way."""
        return self._flying is None and not self._open.waiting

    def _fly(self) -> None:
        self._scheduled = False
        if self._flying is not None or not self._open.waiting:
            return
        self._flying, self._open = self._open, Group()
        if self._quick:
            # Two changes of threads take longer than the sync of a quick disk; what waits meanwhile shares the next.
            self._landed(self._tried(self._flying.changes, self.tail()))
        else:
            self._executor.submit(self._commit, self._flying.changes, self.tail()).add_done_callback(
                self._landed_elsewhere
            )

    def _tried(self, changes: Changes, tail: Tail | None) -> BaseException | None:
        try:
            self._commit(changes, tail)
        except Exception as error:  # noqa: BLE001 (whatever it was, who waits must be told)
            return error
        return None

    def _commit(self, changes: Changes, tail: Tail | None) -> None:
        began = time.monotonic()
        try:
            self.store.commit(changes, tail=tail)
        finally:
            self._quick = time.monotonic() - began < QUICK_S

    def _landed_elsewhere(self, future: Future[None]) -> None:
        self._loop.call_soon_threadsafe(self._landed, future.exception())

    def _landed(self, failure: BaseException | None) -> None:
        group, self._flying = self._flying, None
        error = _told(failure)
        self.tail_kept(error is None)
        waiting = group.waiting if group else []
        if error is not None:
            # What came after has seen what is now lost: it fails too, and nothing of it reaches the disk.
            waiting = waiting + self._open.waiting
            self._open = Group()
        for done in waiting:
            done(error)
        self._fly()


def _told(failure: BaseException | None) -> KeystoreError | None:
    if failure is None or isinstance(failure, KeystoreError):
        return failure
    return StoreError(f"expected a group of changes on the disk, got {type(failure).__name__}")


def _directly_below(paths: set[str], prefix: str) -> list[str]:
    found = []
    for path in paths:
        name, slash, _ = path[len(prefix) :].partition("/")
        if name or slash:
            found.append(name + slash)
    return found


class View:
    """What one request reads and changes; an engine that raises leaves nothing behind."""

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay
        self.changes: dict[str, bytes | None] = {}
        self.seen: Group | None = None

    def get(self, path: str) -> bytes | None:
        """Return a record, or None."""
        if path in self.changes:
            return self.changes[path]
        value, group = self._overlay.find(path)
        self._note(group)
        return value

    def put(self, path: str, value: bytes) -> None:
        """Keep a record."""
        self.changes[path] = value

    def delete(self, path: str) -> None:
        """Forget a record, if there is one."""
        self.changes[path] = None

    def names(self, prefix: str) -> list[str]:
        """Return the names directly below a prefix, sorted."""
        found, group = self._overlay.names(prefix)
        self._note(group)
        mine = {path: value for path, value in self.changes.items() if path.startswith(prefix)}
        if not mine:
            return found
        paths = {path for path in self._all(prefix) if mine.get(path, b"") is not None}
        paths |= {path for path, value in mine.items() if value is not None}
        return sorted(set(_directly_below(paths, prefix)))

    def paths(self, prefix: str) -> list[str]:
        """Return all paths below a prefix, sorted."""
        gone = {path for path, value in self.changes.items() if value is None}
        added = {path for path, value in self.changes.items() if value is not None and path.startswith(prefix)}
        return sorted((set(self._all(prefix)) - gone) | added)

    def finish(self, done: Done) -> None:
        """Send the changes to the disk; `done` is told when they, and all that was read, are there."""
        if self.changes:
            self._overlay.keep(self.changes, done)
        else:
            self._overlay.wait(self.seen, done)

    def drop(self) -> None:
        """Forget the changes of a request that was refused."""
        self.changes = {}

    def _all(self, prefix: str) -> list[str]:
        found = []
        pending = [prefix]
        while pending:
            folder = pending.pop()
            names, group = self._overlay.names(folder)
            self._note(group)
            found += [folder + name for name in names if not name.endswith("/")]
            pending += [folder + name for name in names if name.endswith("/")]
        return found

    def _note(self, group: Group | None) -> None:
        # The open group lands after the flying one, so waiting for the later of both is enough.
        if group is not None and (self.seen is None or not self._overlay.is_flying(group)):
            self.seen = group
