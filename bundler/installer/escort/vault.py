"""What the installer asks of this host's keystore, over its socket that root alone may use.

No token of root's is kept: the share with which the keystore unseals itself makes one for a while, and it is revoked
when the work is done. Each of these requests stands in the keystore's own audit log.
"""

from __future__ import annotations

import asyncio
import base64
import http.client
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bundler.errors import HostError
from keystore.barrier.database import FILE
from keystore.client import Client
from keystore.errors import ServiceError
from keystore.service.core import Core

_PAUSE_S = 0.1
MOUNT = "ferry"
STORE = FILE


class Vault:
    """The keystore behind a socket; `token` is what requests carry."""

    def __init__(self, path: Path, token: str = "") -> None:
        self._path = path
        self._client = Client(address=f"unix://{path}", token=token)

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return what it answers, {} for nothing.

        Raises:
            HostError: it does not answer, or refuses.
        """
        status, answer = self.try_ask(method, path, body)
        if status >= http.client.BAD_REQUEST:
            errors = "; ".join(map(str, answer.get("errors", ()))) or f"status {status}"
            raise HostError(f"the keystore refuses: {errors}", place=path)
        return answer

    def try_ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        """Return status and answer.

        Raises:
            HostError: it does not answer.
        """
        try:
            status, text = self._client.exchange(method, path, body)
            return status, json.loads(text) if text else {}
        except (ServiceError, ValueError) as error:
            cause = error.__cause__ or error
            reason = getattr(cause, "strerror", None) or cause
            raise HostError(f"the keystore does not answer: {reason}", place=str(self._path)) from error

    def read(self, path: str) -> str | None:
        """Return a secret, None where there is none."""
        status, answer = self.try_ask("GET", f"{MOUNT}/data/{path}")
        if status == http.client.NOT_FOUND:
            return None
        if status != http.client.OK:
            raise HostError(f"the keystore refuses: status {status}", place=path)
        value = answer["data"]["data"].get("value")
        return value if isinstance(value, str) else None

    def write(self, path: str, value: str) -> None:
        """Keep a secret; the one before stays as an older version."""
        self.ask("POST", f"{MOUNT}/data/{path}", {"data": {"value": value}})

    def furnish(self, audit: str) -> None:
        """See to a place for the secrets of services, and to an audit log of all that is asked; `audit` is its file.

        Raises:
            HostError: the keystore refuses.
        """
        if "file/" not in self.ask("GET", "sys/audit"):
            self.ask("PUT", "sys/audit/file", {"type": "file", "options": {"file_path": audit}})
        if f"{MOUNT}/" not in self.ask("GET", "sys/mounts"):
            self.ask("POST", f"sys/mounts/{MOUNT}", {"type": "kv", "options": {"version": "2"}})


def initialise(directory: Path, keep: Callable[[str], None]) -> None:
    """Make a store; `keep` gets the share that unseals it before the store is in its place.

    This happens without a service: nobody else on the host can be the one who initialises it.
    """
    directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = directory.with_name(f".new-{directory.name}")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(mode=0o700)
        keep(_make(new))
        new.rename(directory)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def _make(directory: Path) -> str:
    """Make a store of one share and return that."""
    loop = asyncio.new_event_loop()
    with ThreadPoolExecutor(1) as executor:
        core = Core(directory, loop=loop, executor=executor)
        try:
            # Nobody keeps the first token: the share makes another where one is needed.
            (share,), _token = core.initialise(1, 1)
        finally:
            core.database.close()
            loop.close()
    return share.hex()


def wait(path: Path, timeout_s: float) -> None:
    """Wait until the keystore answers unsealed.

    Raises:
        HostError: not in that time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        why: object = "it is sealed"
        try:
            status, _ = Vault(path).try_ask("GET", "sys/health")
            if status == http.client.OK:
                return
        except HostError as error:
            why = error.message
        if time.monotonic() > deadline:
            raise HostError(f"expected the keystore to answer unsealed within {timeout_s:g} s: {why}", place="keystore")
        time.sleep(_PAUSE_S)


@contextmanager
def as_root(path: Path, share: str) -> Iterator[Vault]:
    """Make a token of root's with the share, and revoke it in the end.

    Raises:
        HostError: the keystore does not answer, or the share is not its.
    """
    open_vault = Vault(path)
    open_vault.ask("DELETE", "sys/generate-root/attempt")
    begun = open_vault.ask("PUT", "sys/generate-root/attempt", {})
    ended = open_vault.ask("PUT", "sys/generate-root/update", {"key": share, "nonce": begun["nonce"]})
    masked = base64.b64decode(ended["encoded_token"] + "=" * (-len(ended["encoded_token"]) % 4))
    token = bytes(a ^ b for a, b in zip(masked, begun["otp"].encode(), strict=True)).decode()
    vault = Vault(path, token)
    try:
        yield vault
    finally:
        with suppress(HostError):
            vault.ask("POST", "auth/token/revoke-self", {})
