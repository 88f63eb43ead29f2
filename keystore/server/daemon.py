"""The daemon's process: it opens the store, listens, keeps time, and ends cleanly."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from keystore import disk
from keystore.custody import keeping
from keystore.custody.kinds import Means, custodian_of
from keystore.errors import KeystoreError
from keystore.server import listener
from keystore.server.connection import Connection, factory
from keystore.server.harden import harden
from keystore.server.listener import Address, Tls
from keystore.server.notify import notify
from keystore.service.core import Core
from keystore.service.dispatch import Dispatcher
from keystore.service.log import AUDIT, EXPIRATION, Log
from keystore.service.reaper import reap
from keystore.service.system.sealing import share_of
from keystore.service.upkeep import keep_audit, keep_key

_TICK_S = 1.0
_ANCHOR_S = 300.0
_STOP_S = 5.0
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What the operator asked for."""

    data: Path
    addresses: Sequence[Address] = ()
    socket: Path | None = None
    tls: Tls | None = None
    profile: str = "gm"
    unseal_from: Sequence[Path] = ()
    custody: str = ""
    means: Means | None = None
    connections: int = 1024


def serve(options: Options, tell: Tell) -> None:
    """Serve until a signal ends it; `tell` gets lines for the operator.

    Raises: KeystoreError.
    """
    disk.make_directory(options.data)
    with _only_one(options.data):
        for line in harden():
            tell(f"warning: {line}")
        asyncio.run(_Daemon(options, tell).run())


class _only_one:  # noqa: N801 (it reads as a statement)
    """Hold a store's directory, so that two daemons do not both believe to be the one that writes."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "lock"
        self._descriptor = -1

    def __enter__(self) -> None:
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise KeystoreError(
                "expected a store that nobody serves, got one in use",
                place=str(self._path.parent),
                hint="stop the other `ferry keystore serve` first",
            ) from None

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


class _Daemon:
    def __init__(self, options: Options, tell: Tell) -> None:
        self._options = options
        self._tell = tell
        self._connections: set[Connection] = set()
        self._stop = asyncio.Event()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        commits = ThreadPoolExecutor(1, "commit")
        slow = ThreadPoolExecutor(1, "slow")
        core = Core(self._options.data, loop=loop, executor=commits, profile=self._options.profile, log=Log(self._tell))
        keys = ThreadPoolExecutor(1, "keys")
        dispatcher = Dispatcher(core, slow, keys)
        try:
            self._unseal(core)
            servers = await self._listen(dispatcher)
            self._signals(loop, core)
            notify("READY=1")
            await self._tick(core)
            notify("STOPPING=1")
            await self._close(servers)
        finally:
            core.close()
            commits.shutdown()
            slow.shutdown(cancel_futures=True)
            keys.shutdown(cancel_futures=True)
            core.database.close()

    async def _listen(self, dispatcher: Dispatcher) -> list[asyncio.Server]:
        make = factory(dispatcher.handle, self._connections, time.monotonic, self._options.connections)
        servers = []
        for address in self._options.addresses:
            server = await listener.listen(make, address, self._options.tls)
            servers.append(server)
            for bound in server.sockets:
                host, port = bound.getsockname()[:2]
                scheme = "https" if self._options.tls else "http"
                self._tell(f"listening on {scheme}://{f'[{host}]' if ':' in host else host}:{port}")
        if self._options.socket is not None:
            servers.append(await listener.listen_unix(make, self._options.socket))
            self._tell(f"listening on {self._options.socket}")
        return servers

    def _signals(self, loop: asyncio.AbstractEventLoop, core: Core) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._rotate, core)

    def _rotate(self, core: Core) -> None:
        try:
            core.auditing.reopen(core.now())
        except KeystoreError as error:
            core.log.error(AUDIT, str(error))

    def _unseal(self, core: Core) -> None:
        """Unseal by the custody that the operator named, or enter the shares that he left where we may read them."""
        if self._options.custody and self._options.means and core.initialised:
            custody = keeping.read(core.directory, self._options.custody)
            means = replace(self._options.means, profile=core.seal.profile)
            core.unseal_by(custody, custodian_of(custody.kind, means))
            self._tell(f"unsealed by the custody {custody.name!r} ({custody.kind})")
            return
        if not self._options.unseal_from or not core.initialised:
            return
        for path in self._options.unseal_from:
            disk.check_private_file(path)
            for line in disk.read(path).decode("ascii", "replace").split():
                if core.enter_share(share_of(line)):
                    self._tell("unsealed")
                    return
        raise KeystoreError(
            f"expected {core.seal.threshold} shares of the unseal key, got {len(core.progress.shares)}",
            place=str(self._options.unseal_from[0]),
        )

    async def _tick(self, core: Core) -> None:
        anchored = time.monotonic()
        while not self._stop.is_set():
            await _until(self._stop, _TICK_S)
            now = time.monotonic()
            for connection in list(self._connections):
                connection.sweep(now)
            if core.unsealed is None:
                continue
            for line in reap(core):
                core.log.error(EXPIRATION, line)
            due = now - anchored >= _ANCHOR_S
            for line in keep_audit(core, anchor=due):
                self._tell(line)
            if due:
                keep_key(core)
            anchored = now if due else anchored

    async def _close(self, servers: Sequence[asyncio.Server]) -> None:
        for server in servers:
            server.close()
        for connection in list(self._connections):
            connection.shut()
        deadline = time.monotonic() + _STOP_S
        while self._connections and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        if self._options.socket is not None:
            self._options.socket.unlink(missing_ok=True)


async def _until(event: asyncio.Event, seconds: float) -> None:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return
