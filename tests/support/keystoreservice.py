"""The keystore's service without its listener: requests go to the dispatcher, over a real loop and a real store."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keystore.service.core import Core
from keystore.service.dispatch import Dispatcher
from keystore.service.log import Log
from keystore.service.message import Inbound, Reply


class Service:
    """A store that is made and unsealed, whose clock the test can move, and its root token."""

    def __init__(self, folder: Path, shares: int = 1, threshold: int = 1) -> None:
        self.ahead_s = 0.0
        self.loop = asyncio.new_event_loop()
        self.executor = ThreadPoolExecutor(1)
        self.lines: list[str] = []
        self.core = Core(
            folder,
            loop=self.loop,
            executor=self.executor,
            profile="standard",
            clock=self._clock,
            log=Log(self.lines.append),
        )
        self.dispatcher = Dispatcher(self.core, self.executor, self.executor)
        self.root = ""
        made = self.ask("PUT", "sys/init", {"secret_shares": shares, "secret_threshold": threshold})[1]
        self.shares: list[str] = made["keys"]
        self.root = made["root_token"]
        for share in self.shares[:threshold]:
            self.ask("PUT", "sys/unseal", {"key": share})
        # The log is filled up beside the loop after an unseal: its size stands still from here on.
        self.executor.submit(lambda: None).result()

    def _clock(self) -> float:
        return time.time() + self.ahead_s

    def reply(self, method: str, path: str, data: dict[str, Any] | None = None, token: str | None = None) -> Reply:
        """Return what the listener would send."""
        bare, _, query = path.partition("?")
        inbound = Inbound(
            method=method,
            path=bare,
            query=dict(part.partition("=")[::2] for part in query.split("&") if part),
            body=b"" if data is None else json.dumps(data).encode(),
            token=self.root if token is None else token,
            remote="127.0.0.1",
        )
        return self.loop.run_until_complete(self._answer(inbound))

    async def _answer(self, inbound: Inbound) -> Reply:
        answered = self.loop.create_future()
        self.dispatcher.handle(inbound, answered.set_result)
        found: Reply = await answered
        return found

    def ask(
        self, method: str, path: str, data: dict[str, Any] | None = None, token: str | None = None
    ) -> tuple[int, Any]:
        """Return status and JSON of an answer."""
        reply = self.reply(method, path, data, token)
        return reply.status, json.loads(reply.body) if reply.body else None

    def token(self, rules: str) -> str:
        """Return a token that has one policy, of these rules, alone."""
        self.ask("PUT", "sys/policies/acl/some", {"policy": rules})
        made = self.ask("POST", "auth/token/create", {"policies": ["some"], "no_default_policy": True})[1]
        return str(made["auth"]["client_token"])

    def close(self) -> None:
        """End it."""
        self.core.close()
        self.executor.shutdown()
        self.core.database.close()
        self.loop.close()


@contextmanager
def serviced(folder: Path, shares: int = 1, threshold: int = 1) -> Iterator[Service]:
    """Make a service, and end it."""
    service = Service(folder, shares, threshold)
    try:
        yield service
    finally:
        service.close()
