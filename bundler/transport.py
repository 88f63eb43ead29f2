"""Bytes from the network into the store: resumed, checked while they come, from the user's own mirrors."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlencode, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from bundler.errors import IntegrityError, TransferError
from bundler.store import PIECE_BYTES, BlobWriter, Store

_ATTEMPTS = 4
_TIMEOUT = urllib3.Timeout(connect=15, read=60)
_PROBE_TIMEOUT = urllib3.Timeout(connect=5, read=5)
_LONGEST_WAIT_S = 60
# We try again ourselves, so that what has come is kept; only redirects are followed here.
_RETRIES = urllib3.Retry(None, connect=0, read=0, status=0, other=0, redirect=5)
# After a range that we did not ask for (206) or one that the server does not have (416) the whole is asked for.
_RETRIED = frozenset({206, 408, 416, 429, 500, 502, 503, 504})

_PLAIN = {"Accept-Encoding": "identity", "User-Agent": "ferry"}
_FORM = {**_PLAIN, "Content-Type": "application/x-www-form-urlencoded"}
# A server that refuses every authorization is given up in the end, whatever the caller says.
_MOST_REFUSALS = 4

_AGAIN = "check the network and the mirror, then run the command again; what has come is kept"
_OTHER_BYTES = "the mirror serves other bytes than were locked: stop"

Progress = Callable[[int], None]


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
class Reply:
    """A small answer: its status, headers by lower-case name, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class _RefusedError(Exception):
    """The server will not give this file; another mirror may."""


class Transport:
    """Downloads over pooled connections; proxies and certificate authorities come from the environment."""

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        self._pools: dict[str, urllib3.PoolManager] = {}

    def download(
        self,
        urls: list[str],
        store: Store,
        *,
        sha256: str,
        size: int,
        media_type: str,
        progress: Progress,
        headers: Headers | None = None,
    ) -> None:
        """Bring one file into the store, from the first of `urls` that has it.

        What `headers` says is asked for each request anew; no server to which another one leads gets to see it.

        Raises:
            TransferError: none of them could be read; what has come is kept and resumed the next time.
            IntegrityError: all bytes came and they are not those of `sha256`.
        """
        reasons: list[str] = []
        hint = _AGAIN
        for url in urls:
            writer = store.resume(sha256, size)
            resumed = writer.size > 0
            try:
                self._attempts(url, writer, size, progress, headers)
                if resumed and not writer.holds(sha256, size):
                    # What an earlier run or another mirror left may be what is wrong.
                    writer.restart()
                    self._attempts(url, writer, size, progress, headers)
                writer.commit(media_type, sha256=sha256, size=size)
                return
            except (_RefusedError, TransferError) as refused:
                reasons.append(f"{_shown(url)}: {refused}")
                hint = getattr(refused, "hint", None) or hint
            except IntegrityError as error:
                raise IntegrityError(error.message, place=_shown(url), hint=_OTHER_BYTES) from error
            finally:
                writer.keep()
        what = "; ".join(reasons or ["none is configured"])
        raise TransferError(f"no source has the file: {what}", place=sha256, hint=hint)

    def read(
        self, url: str, *, limit: int, headers: Headers | None = None, form: Mapping[str, str] | None = None
    ) -> Reply:
        """Ask for something small, or post a form; return any answer but "later", with at most `limit` + 1 bytes.

        Raises:
            TransferError: no answer came, or `headers` gave up.
        """
        replies: list[Reply] = []

        def once() -> str:
            response = self._request(url, {}, headers, form)
            try:
                if response.status in _RETRIED:
                    _check(response, rest=False)
                body = response.read(limit + 1, decode_content=False)
                named = {name.lower(): value for name, value in response.headers.items()}
                replies.append(Reply(status=response.status, headers=named, body=body))
            finally:
                response.close()
            return ""

        try:
            self._persist(once)
        except _RefusedError as refused:
            raise TransferError(
                f"no answer: {refused}",
                place=_shown(url),
                hint="check the network, and name a certificate authority of your own in SSL_CERT_FILE",
            ) from refused
        return replies[-1]

    def speaks_tls(self, host: str) -> bool:
        """Say whether a server speaks TLS, also where its certificate is not one that we trust."""
        try:
            url = f"https://{host}/v2/"
            self._pool(url).request("GET", url, retries=False, timeout=_PROBE_TIMEOUT, preload_content=False).close()
        except HTTPError as error:
            return "CERTIFICATE_VERIFY_FAILED" in str(error)
        return True

    def _attempts(self, url: str, writer: BlobWriter, size: int, progress: Progress, headers: Headers | None) -> None:
        if writer.size > size:
            writer.restart()

        def once() -> str:
            if writer.size < size:
                self._once(url, writer, size, progress, headers)
            return "" if writer.size >= size else f"ended after {writer.size} of {size} bytes"

        self._persist(once)

    def _persist(self, once: Callable[[], str]) -> None:
        """Do something until it gives no reason to try again."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                reason, wait = once(), 0.0
                if not reason:
                    return
            except _BusyError as busy:
                reason, wait = str(busy), busy.wait_s
            except (HTTPError, OSError) as error:
                cause = error.reason if isinstance(error, MaxRetryError) and error.reason else error
                reason, wait = type(cause).__name__, 0.0
                if isinstance(cause, SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(cause):
                    raise _RefusedError("its certificate is not one that this host trusts") from error
            if attempt < _ATTEMPTS:
                self._sleep(min(max(wait, 2.0 ** (attempt - 1)), _LONGEST_WAIT_S))
        raise _RefusedError(f"{reason}, {_ATTEMPTS} attempts")

    def _once(self, url: str, writer: BlobWriter, size: int, progress: Progress, headers: Headers | None) -> None:
        if url.startswith("file:"):
            self._read_file(url, writer, size, progress)
            return
        own = {"Range": f"bytes={writer.size}-"} if writer.size else {}
        response = self._request(url, own, headers, None)
        try:
            rest = _is_rest(response, writer.size)
            if response.status in (200, 206, 416) and not rest:
                writer.restart()
            _check(response, rest=rest)
            # The bytes as they stand in the archive, also where a server calls a .tar.gz an encoding.
            _copy(lambda: response.read(PIECE_BYTES, decode_content=False), writer, size, progress)
        finally:
            response.close()

    def _request(
        self, url: str, own: Mapping[str, str], headers: Headers | None, form: Mapping[str, str] | None
    ) -> urllib3.BaseHTTPResponse:
        """Ask, and ask again with what `headers` says to a refusal of this server (not one to which it leads)."""
        given: Mapping[str, str] = headers(url, None) if headers else {}
        for count in range(1, _MOST_REFUSALS + 1):
            response = self._pool(url).request(
                "GET" if form is None else "POST",
                url,
                body=urlencode(form) if form else None,
                headers={**(_FORM if form else _PLAIN), **given, **own},
                preload_content=False,
                timeout=_TIMEOUT,
                retries=_RETRIES,
                redirect=form is None,
            )
            final = _final(url, response)
            if headers and url.startswith("https:") and not final.startswith("https:"):
                response.close()
                raise _RefusedError("leads from https to plain http")
            if headers is None or response.status not in (401, 403) or _origin(final) != _origin(url):
                break
            challenge = ", ".join(response.headers.getlist("WWW-Authenticate"))
            response.close()
            given = headers(url, Refusal(status=response.status, challenge=challenge, given=given, count=count))
        return response

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


def _final(url: str, response: urllib3.BaseHTTPResponse) -> str:
    """Return the URL that answered after all redirects."""
    for step in response.retries.history if response.retries else ():
        url = urljoin(url, step.redirect_location or "")
    return url


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


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
