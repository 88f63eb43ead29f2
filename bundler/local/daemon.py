"""Images of a daemon: Docker's, or podman's with the same interface, through Docker's own library.

Where the daemon listens is the builder's business: DOCKER_HOST, CONTAINER_HOST, or a socket at its usual place.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import docker
import requests
from docker.errors import DockerException, ImageNotFound
from docker.tls import TLSConfig
from docker.utils import kwargs_from_env
from urllib3.exceptions import HTTPError

from bundler.errors import ResolveError, TransferError
from bundler.store import PIECE_BYTES

SOCKETS = ("/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock")
# A daemon writes a large image to its own disk before the first byte comes.
_TIMEOUT_S = 1800
_HINT = "start the daemon, or name its socket: DOCKER_HOST=unix:///run/podman/podman.sock"


@contextmanager
def exported(name: str) -> Iterator[tuple[io.BufferedReader, str, int]]:
    """Ask a daemon for an image; yield the stream of its archive, the image's id and how large it may be.

    Raises:
        ResolveError: the daemon does not have it.
        TransferError: no daemon answers, or it breaks off.
    """
    base, tls = find_daemon(os.environ)
    with _Gives(base, name):
        client = docker.APIClient(base_url=base, tls=tls, timeout=_TIMEOUT_S, version="auto")
    with closing(client):
        with _Gives(base, name):
            found = client.inspect_image(name)
            pieces = client.get_image(name, chunk_size=PIECE_BYTES)
        yield (
            io.BufferedReader(_Stream(pieces, _Gives(base, name)), PIECE_BYTES),
            str(found.get("Id", "")),
            int(found.get("Size") or 0),
        )


class _Gives:
    """Turns what Docker's library raises into errors of ours."""

    def __init__(self, base: str, name: str) -> None:
        self._base = base
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if isinstance(error, ImageNotFound):
            raise ResolveError(f'the daemon at {self._base} does not have "{self._name}"') from error
        if isinstance(error, (DockerException, requests.RequestException, HTTPError, OSError)):
            raise TransferError(f"the daemon at {self._base} does not give it: {_last(error)}", hint=_HINT) from error


def find_daemon(environment: Mapping[str, str]) -> tuple[str, TLSConfig | bool]:
    """Return where a daemon listens, and by which certificates it is spoken to.

    Raises:
        TransferError: nothing says where, and nothing is at the usual places.
    """
    named = environment.get("DOCKER_HOST") or environment.get("CONTAINER_HOST")
    if named:
        path = named.removeprefix("unix://")
        if path != named and not Path(path).is_socket():
            raise TransferError(f"expected the daemon at {named}, no socket is there", hint=_HINT)
        settings = kwargs_from_env(environment={**environment, "DOCKER_HOST": named})
        return named, settings.get("tls", False)
    own = [f"{runtime}/podman/podman.sock"] if (runtime := environment.get("XDG_RUNTIME_DIR")) else []
    for path in (*SOCKETS, *own):
        if Path(path).is_socket():
            return f"unix://{path}", False
    raise TransferError("expected a daemon of Docker or podman, none listens here", hint=_HINT)


def _last(error: BaseException) -> str:
    """Return the innermost reason."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return str(error) or type(error).__name__


class _Stream(io.RawIOBase):
    """The pieces of a reply as one stream."""

    def __init__(self, pieces: Iterator[bytes], gives: _Gives) -> None:
        self._pieces = pieces
        self._gives = gives
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            with self._gives:
                piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count
