"""Bytes from the network into the store: resumed, checked while they come, from the user's own mirrors."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError

from bundler.errors import IntegrityError, TransferError
from bundler.store import PIECE_BYTES, BlobWriter, Store

_ATTEMPTS = 4
_TIMEOUT = urllib3.Timeout(connect=15, read=60)
_LONGEST_WAIT_S = 60
# We try again ourselves, so that what has come is kept; only redirects are followed here.
_RETRIES = urllib3.Retry(None, connect=0, read=0, status=0, other=0, redirect=5)
# After a range that we did not ask for (206) or one that the server does not have (416) the whole is asked for.
_RETRIED = frozenset({206, 408, 416, 429, 500, 502, 503, 504})

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
            resumed = writer.size > 0
            try:
                self._attempts(url, writer, size, progress)
                if resumed and not writer.holds(sha256, size):
                    # What an earlier run or another mirror left may be what is wrong.
                    writer.restart()
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
        if writer.size > size:
            writer.restart()
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                if writer.size < size:
                    self._once(url, writer, size, progress)
                if writer.size >= size:
                    return
                reason: str | None = f"ended after {writer.size} of {size} bytes"
                wait = 0.0
            except _BusyError as busy:
                reason, wait = str(busy), busy.wait_s
            except (HTTPError, OSError) as error:
                cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
                reason, wait = type(cause).__name__, 0.0
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
            retries=_RETRIES,
        )
        try:
            rest = _is_rest(response, writer.size)
            if response.status in (200, 206, 416) and not rest:
                writer.restart()
            _check(response, rest=rest)
            # The bytes as they stand in the archive, also where a server calls a .tar.gz an encoding.
            _copy(lambda: response.read(PIECE_BYTES, decode_content=False), writer, size, progress)
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


def _is_rest(response: urllib3.BaseHTTPResponse, size: int) -> bool:
    return response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {size}-")


def _check(response: urllib3.BaseHTTPResponse, *, rest: bool) -> None:
    if response.status == 200 or rest:
        return
    reason = f"answered {response.status}"
    if response.status in _RETRIED:
        after = response.headers.get("Retry-After", "")
        raise _BusyError(reason, float(after) if after.isdecimal() else 0.0)
    raise _RefusedError(reason)


def _copy(read: Callable[[], bytes], writer: BlobWriter, size: int, progress: Progress) -> None:
    while writer.size <= size and (piece := read()):
        writer.write(piece)
        progress(len(piece))


def _shown(url: str) -> str:
    """Return a URL without user name, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
