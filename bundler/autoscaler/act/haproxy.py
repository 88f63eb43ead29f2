"""haproxy's runtime interface: which servers a backend has, and whether they get requests.

Source: HAProxy management guide, Unix socket commands.
"""

from __future__ import annotations

import csv
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bundler.errors import HostError

_TIMEOUT_S = 10.0
_MOST_BYTES = 4 * 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A server of a backend: `state` is READY, DRAIN, MAINT or DOWN; `sessions` are under way or wait for it alone."""

    state: str
    sessions: int


class Haproxy:
    """One backend of the haproxy that listens at a socket."""

    def __init__(self, path: Path, backend: str) -> None:
        if not _NAME.fullmatch(backend):
            raise HostError(f'expected the name of a backend, got "{backend}"', place="backend")
        self._path = path
        self._backend = backend

    def servers(self) -> Mapping[str, Server]:
        """Return all servers of the backend.

        Raises:
            HostError: haproxy does not answer, or has no such backend.
        """
        return {
            row["svname"]: Server(state=_state(row["status"]), sessions=_count(row["scur"]) + _count(row["qcur"]))
            for row in self._rows()
            if row["svname"] not in ("BACKEND", "FRONTEND")
        }

    def waiting(self) -> int:
        """Return how many requests wait for any server of the backend.

        Raises:
            HostError: haproxy does not answer, or has no such backend.
        """
        return sum(_count(row["qcur"]) for row in self._rows() if row["svname"] == "BACKEND")

    def _rows(self) -> Sequence[Mapping[str, str]]:
        """Return what haproxy counts of the backend and of each of its servers."""
        rows = csv.DictReader(self.ask("show stat").removeprefix("# ").splitlines())
        ours = [row for row in rows if row.get("pxname") == self._backend]
        if not ours:
            raise HostError(f'expected a backend "{self._backend}", haproxy has none', place=str(self._path))
        return ours

    def add(self, name: str, address: str, port: int, at_once: int = 0) -> None:
        """Make a server, which gets nothing until it is `ready`, and then `at_once` requests at most (0: any number).

        Raises:
            HostError: haproxy refuses.
        """
        answer = self.ask(f"add server {self._named(name)} {address}:{port} maxconn {at_once}")
        if "registered" not in answer.lower():
            raise HostError(f"haproxy adds no server {name}: {answer.strip()[:200]}", place=str(self._path))

    def ready(self, name: str) -> None:
        """Let a server have requests."""
        self._set(name, "ready")

    def drain(self, name: str) -> None:
        """Give a server no new requests; those under way go on."""
        self._set(name, "drain")

    def maintain(self, name: str) -> None:
        """Take a server out of use."""
        self._set(name, "maint")

    def weigh(self, name: str, percent: int) -> None:
        """Give a server a share of what others of its weight get, 0 to 100 percent."""
        self._order(f"set server {self._named(name)} weight {min(100, max(0, percent))}%")

    def ask(self, command: str) -> str:
        """Send a command and return the answer.

        Raises:
            HostError: haproxy does not answer.
        """
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_TIMEOUT_S)
                connection.connect(str(self._path))
                connection.sendall(f"{command}\n".encode())
                pieces = []
                left = _MOST_BYTES
                while left > 0 and (piece := connection.recv(65_536)):
                    pieces.append(piece)
                    left -= len(piece)
        except OSError as error:
            raise HostError(
                f"haproxy does not answer: {error.strerror or error}",
                place=str(self._path),
                hint="its configuration needs: stats socket PATH mode 600 level admin",
            ) from error
        return b"".join(pieces).decode("utf-8", "replace")

    def _set(self, name: str, state: str) -> None:
        self._order(f"set server {self._named(name)} state {state}")

    def _order(self, command: str) -> None:
        answer = self.ask(command).strip()
        if answer:
            raise HostError(f"haproxy refuses `{command}`: {answer[:200]}", place=str(self._path))

    def _named(self, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise HostError(f'expected the name of a server, got "{name}"', place="server")
        return f"{self._backend}/{name}"


def _state(status: str) -> str:
    first = status.split(" ")[0]
    return {"UP": "READY", "no": "READY", "OPEN": "READY"}.get(first, first if first in ("DRAIN", "MAINT") else "DOWN")


def _count(text: str) -> int:
    return int(text) if text.isdigit() else 0
