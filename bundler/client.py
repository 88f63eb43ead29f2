"""One request to a server: over pooled connections, through the proxy of the environment, with what it asks for."""

from __future__ import annotations

import os
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from socket import socket
from typing import Any, BinaryIO
from urllib.parse import urlencode, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from bundler.errors import IntegrityError

_TIMEOUT = urllib3.Timeout(connect=15, read=60)
_PROBE_TIMEOUT = urllib3.Timeout(connect=5, read=5)
# We try again ourselves, so that what has come is kept; only redirects are followed here.
_RETRIES = urllib3.Retry(None, connect=0, read=0, status=0, other=0, redirect=5)
_CONNECTIONS = 16
_PIECE_BYTES = 256 * 1024

_PLAIN = {"Accept-Encoding": "identity", "User-Agent": "ferry"}
_FORM = {**_PLAIN, "Content-Type": "application/x-www-form-urlencoded"}
# A server that refuses every authorization is given up in the end, whatever the caller says.
_MOST_REFUSALS = 4


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """How a server refused a request: its `WWW-Authenticate`, what it was given, and how often it refused by now."""

    status: int
    challenge: str
    given: Mapping[str, str] = field(repr=False)
    count: int


# What a request to a URL carries; after a refusal the caller renews it, or raises a TransferError that says why not.
Headers = Callable[[str, Refusal | None], Mapping[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Extent:
    """Bytes of an open file, which the kernel copies to a connection: `size` of them from `offset` on."""

    file: BinaryIO
    offset: int
    size: int

    def __len__(self) -> int:
        return self.size


@dataclass(frozen=True, kw_only=True, slots=True)
class Body:
    """What a request brings: `size` bytes, which `pieces` gives anew for every attempt."""

    size: int
    pieces: Callable[[], Iterable[bytes | Extent]]


class LedToPlainError(Exception):
    """A server led from https to plain http."""


class _Sending:
    """A connection that takes an extent for a piece of a body."""

    sock: Any

    def send(self, data: Any) -> None:
        if not isinstance(data, Extent):
            super().send(data)  # type: ignore[misc]
        elif self._copy(data) != data.size:
            raise IntegrityError("the file became shorter while it was sent", place=str(data.file.name))

    def _copy(self, extent: Extent) -> int:
        """Send an extent; where bytes are encrypted on the way, piece by piece."""
        if type(self.sock) is socket:
            return self.sock.sendfile(extent.file, extent.offset, extent.size)
        sent = 0
        while sent < extent.size:
            count = min(_PIECE_BYTES, extent.size - sent)
            # The file is shared by threads: its own position means nothing.
            piece = os.pread(extent.file.fileno(), count, extent.offset + sent)
            if not piece:
                break
            super().send(piece)  # type: ignore[misc]
            sent += len(piece)
        return sent


class _Connection(_Sending, HTTPConnection):
    pass


class _SecureConnection(_Sending, HTTPSConnection):
    pass


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


_POOLS = {"http": _Pool, "https": _SecurePool}


class Client:
    """Asks servers; proxies and certificate authorities come from the environment."""

    def __init__(self, timeout: urllib3.Timeout = _TIMEOUT) -> None:
        self._timeout = timeout
        self._pools: dict[str, urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._open: set[urllib3.BaseHTTPResponse] = set()

    @contextmanager
    def ask(
        self,
        url: str,
        own: Mapping[str, str],
        headers: Headers | None,
        form: Mapping[str, str] | None = None,
        *,
        method: str = "",
        body: Body | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Ask, and ask again with what `headers` says to a refusal of this server (not one to which it leads).

        Without a `method` it is GET, or POST for a form. What changes something follows no redirect.

        Raises:
            HTTPError: as urllib3 says.
            LedToPlainError: the answer would come over plain http.
        """
        method = method or ("GET" if form is None else "POST")
        response = self._answer(method, url, own, headers, _form_body(form) if form else body)
        with self._lock:
            self._open.add(response)
        try:
            yield response
        finally:
            with self._lock:
                self._open.discard(response)
            response.close()

    def stop(self) -> None:
        """Break off every answer that is being read."""
        with self._lock:
            for response in self._open:
                # One whose connection is given back already has nothing to break off.
                with suppress(ValueError, RuntimeError, OSError):
                    response.shutdown()

    def speaks_tls(self, host: str) -> bool:
        """Say whether a server speaks TLS, also where its certificate is not one that we trust."""
        try:
            url = f"https://{host}/v2/"
            self._pool(url).request("GET", url, retries=False, timeout=_PROBE_TIMEOUT, preload_content=False).close()
        except HTTPError as error:
            return "CERTIFICATE_VERIFY_FAILED" in str(error)
        return True

    def _answer(
        self, method: str, url: str, own: Mapping[str, str], headers: Headers | None, body: Body | bytes | None
    ) -> urllib3.BaseHTTPResponse:
        given: Mapping[str, str] = headers(url, None) if headers else {}
        fixed = _FORM if isinstance(body, bytes) else _PLAIN
        length = {"Content-Length": str(body.size)} if isinstance(body, Body) else {}
        for count in range(1, _MOST_REFUSALS + 1):
            response = self._pool(url).request(
                method,
                url,
                # urllib3 passes each piece on to the connection, and ours knows extents.
                body=body.pieces() if isinstance(body, Body) else body,  # type: ignore[arg-type]
                headers={**fixed, **length, **given, **own},
                preload_content=False,
                timeout=self._timeout,
                retries=_RETRIES,
                redirect=method in ("GET", "HEAD"),
            )
            final = _final(url, response)
            if headers and url.startswith("https:") and not final.startswith("https:"):
                response.close()
                raise LedToPlainError
            if headers is None or response.status not in (401, 403) or origin(final) != origin(url):
                break
            challenge = ", ".join(response.headers.getlist("WWW-Authenticate"))
            response.close()
            given = headers(url, Refusal(status=response.status, challenge=challenge, given=given, count=count))
        return response

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = getproxies().get(parts.scheme) or getproxies().get("all")
        if proxy and proxy_bypass(parts.hostname or ""):
            proxy = None
        key = proxy or ""
        with self._lock:
            if key not in self._pools:
                context = ssl.create_default_context()
                pools = (
                    urllib3.ProxyManager(proxy, ssl_context=context, maxsize=_CONNECTIONS)
                    if proxy
                    else urllib3.PoolManager(ssl_context=context, maxsize=_CONNECTIONS)
                )
                pools.pool_classes_by_scheme = _POOLS
                self._pools[key] = pools
            return self._pools[key]


def _form_body(form: Mapping[str, str]) -> bytes:
    return urlencode(form).encode()


def _final(url: str, response: urllib3.BaseHTTPResponse) -> str:
    """Return the URL that answered after all redirects."""
    for step in response.retries.history if response.retries else ():
        url = urljoin(url, step.redirect_location or "")
    return url


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Return scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port
