"""Bytes from the network into the store: resumed, checked while they come, from the user's own mirrors."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError

from bundler.errors import IntegrityError, TransferError
from bundler.store import PIECE_BYTES, BlobWriter, Store

_ATTEMPTS = 4
_TIMEOUT = urllib3.Timeout(connect=15, read=60)
_LONGEST_WAIT_S = 60
_RETRIED = frozenset({408, 429, 500, 502, 503, 504})

Progress = Callable[[int], None]


class _RefusedError(Exception):
    """The server will not give this file; another mirror may."""


class Transport:
    """Downloads over pooled connections; proxies and certificate authorities come from the environment."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._pools: dict[str, urllib3.PoolManager] = {}

    def download(
        self, urls: list[str], store: Store, *, sha256: str, size: int, media_type: str, progress: Progress
    ) -> None:
        """Bring one file into the store, from the first of `urls` that has it.

        Raises:
            TransferError: none of them could be read; what has come is kept and resumed the next time.
            IntegrityError: all bytes came and they are not those of `sha256`.
        """
        reasons: list[str] = []
        for url in urls:
            writer = store.resume(sha256)
            try:
                self._attempts(url, writer, size, progress)
                writer.commit(media_type, sha256=sha256, size=size)
                return
            except _RefusedError as refused:
                reasons.append(f"{_shown(url)}: {refused}")
            except IntegrityError as error:
                raise IntegrityError(
                    error.message,
                    place=_shown(url),
                    hint="the mirror serves other bytes than were locked: stop",
                ) from error
            finally:
                writer.keep()
        raise TransferError(
            "no source has the file: " + "; ".join(reasons or ["none is configured"]),
            place=sha256,
            hint="check the network and the mirror, then run the command again; what has come is kept",
        )

    def _attempts(self, url: str, writer: BlobWriter, size: int, progress: Progress) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                if writer.size < size:
                    self._once(url, writer, size, progress)
                if writer.size == size:
                    return
                reason: str | None = f"ended after {writer.size} of {size} bytes"
                wait = 0.0
            except _BusyError as busy:
                reason, wait = str(busy), busy.wait_s
            except (HTTPError, OSError) as error:
                reason, wait = type(error).__name__, 0.0
            if attempt < _ATTEMPTS:
                self._sleep(min(max(wait, 2.0 ** (attempt - 1)), _LONGEST_WAIT_S))
        raise _RefusedError(f"{reason}, {_ATTEMPTS} attempts")

    def _once(self, url: str, writer: BlobWriter, size: int, progress: Progress) -> None:
        if url.startswith("file:"):
            self._read_file(url, writer, size, progress)
            return
        headers = {"Accept-Encoding": "identity", "User-Agent": "ferry"}
        if writer.size:
            headers["Range"] = f"bytes={writer.size}-"
        response = self._pool(url).request(
            "GET",
            url,
            headers=headers,
            preload_content=False,
            timeout=_TIMEOUT,
            retries=urllib3.Retry(0, redirect=5),
        )
        try:
            _check(response)
            if response.status != 206 and writer.size:
                writer.restart()
            _copy(lambda: response.read(PIECE_BYTES), writer, size, progress)
        finally:
            response.close()

    @staticmethod
    def _read_file(url: str, writer: BlobWriter, size: int, progress: Progress) -> None:
        writer.restart()
        try:
            with open(unquote(urlsplit(url).path), "rb") as stream:  # noqa: PTH123 (a path of a URL)
                _copy(lambda: stream.read(PIECE_BYTES), writer, size, progress)
        except FileNotFoundError as error:
            raise _RefusedError("no such file") from error

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        proxy = getproxies().get(parts.scheme) or getproxies().get("all")
        if proxy and proxy_bypass(parts.hostname or ""):
            proxy = None
        key = proxy or ""
        if key not in self._pools:
            context = ssl.create_default_context()
            self._pools[key] = (
                urllib3.ProxyManager(proxy, ssl_context=context, maxsize=16)
                if proxy
                else urllib3.PoolManager(ssl_context=context, maxsize=16)
            )
        return self._pools[key]


class _BusyError(Exception):
    """The server asks to come back later."""

    def __init__(self, reason: str, wait_s: float) -> None:
        super().__init__(reason)
        self.wait_s = wait_s


def _check(response: urllib3.BaseHTTPResponse) -> None:
    if response.status in (200, 206):
        return
    reason = f"answered {response.status}"
    if response.status in _RETRIED:
        after = response.headers.get("Retry-After", "")
        raise _BusyError(reason, float(after) if after.isdigit() else 0.0)
    raise _RefusedError(reason)


def _copy(read: Callable[[], bytes], writer: BlobWriter, size: int, progress: Progress) -> None:
    while writer.size <= size and (piece := read()):
        writer.write(piece)
        progress(len(piece))


def _shown(url: str) -> str:
    """Return a URL without user name, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
