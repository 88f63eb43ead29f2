"""Bytes from the network into the store: resumed, checked while they come, from the user's own mirrors."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote, urlsplit

from urllib3 import BaseHTTPResponse

from bundler.blob import Part
from bundler.client import Body, Client
from bundler.client import Extent as Extent
from bundler.client import Headers as Headers
from bundler.client import Refusal as Refusal
from bundler.errors import IntegrityError, TransferError
from bundler.pace import Clock
from bundler.persistence import DeadError, FailedError, Persistence, RefusedError, retry_after
from bundler.store import PIECE_BYTES, Store

_LEAST_PIECE_BYTES = 16 * 1024
_OTHERS_TURN_S = 0.2
# After a range that we did not ask for (206) or one that the server does not have (416) the whole is asked for.
_OTHER_RANGE = frozenset({206, 416})
_BUSY = frozenset({408, 429, 500, 502, 503, 504})

_AGAIN = "check the network and the mirror, then run the command again; what has come is kept"
_OTHER_BYTES = "the mirror serves other bytes than were locked: stop"

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reply:
    """A small answer: its status, headers by lower-case name, and body."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Target(Protocol):
    """Where the bytes of a download go, one after the other; `size` counts those that are there."""

    size: int

    def write(self, data: bytes, /) -> object:
        """Take the next bytes."""

    def restart(self) -> None:
        """Forget what is there."""

    def holds(self, sha256: str, size: int) -> bool:
        """Say whether what is there is all of it, and right."""

    def commit(self, *, sha256: str, size: int) -> None:
        """Keep what is there, or raise an IntegrityError when it is not right."""


class _Download:
    """A target that grows: how far it came is told to `progress`, and taken back when it begins anew.

    It is a file, or of a file of `of` bytes the `size` ones from `first` on.
    """

    def __init__(
        self, part: Target, sha256: str, size: int, progress: Progress, *, first: int = 0, of: int | None = None
    ) -> None:
        self.part = part
        self.sha256 = sha256
        self.size = size
        self.most = part.size
        self.first = first
        self.is_range = of is not None
        self._of = of
        self._progress = progress
        self._told = 0

    @property
    def wanted(self) -> str:
        """The Range of what is missing; empty for everything."""
        at, end = self.first + self.part.size, self.first + self.size
        if self._of is not None and end < self._of:
            return f"bytes={at}-{end - 1}"
        return f"bytes={at}-" if at else ""

    @property
    def most_next(self) -> int:
        """How many bytes may be read now: of a whole file also more than there should be, so that it is noticed."""
        left = self.size - self.part.size
        return left if self.is_range else PIECE_BYTES if left >= 0 else 0

    def write(self, piece: bytes) -> None:
        self.part.write(piece)
        self.most = max(self.most, self.part.size)
        self._tell(len(piece))

    def restart(self) -> None:
        self.part.restart()
        self._tell(-self._told)

    def _tell(self, count: int) -> None:
        self._told += count
        if count:
            self._progress(count)


class Transport:
    """Downloads; each server is asked as hard as it can take, and one that does not answer is asked last."""

    def __init__(self, clock: Clock | None = None, client: Client | None = None) -> None:
        self._clock = clock or Clock()
        self._client = client or Client()
        self._persistence = Persistence(self._clock)

    def download(
        self,
        urls: Iterable[str],
        store: Store,
        *,
        sha256: str,
        size: int,
        progress: Progress,
        headers: Headers | None = None,
    ) -> None:
        """Bring one file into the store, from the first of `urls` that has it.

        What `headers` says is asked for each request anew; no server to which another one leads gets to see it.
        While another process brings the same file, this one waits for it.

        Raises:
            TransferError: none of them could be read; what has come is kept and resumed the next time.
            IntegrityError: all bytes came and they are not those of `sha256`.
            HostError: the store cannot take them.
        """
        part = self._mine(store, sha256, size)
        if part is None:
            progress(size)
            return
        try:
            self._from_any(list(dict.fromkeys(urls)), _Download(part, sha256, size, progress), headers)
        finally:
            part.keep()

    def download_range(
        self,
        urls: Iterable[str],
        target: Target,
        *,
        sha256: str,
        first: int,
        size: int,
        of: int,
        progress: Progress,
        headers: Headers | None = None,
    ) -> None:
        """Bring of a file of `of` bytes the `size` ones from `first` on to a target that knows when they are right.

        Of a server that gives no ranges the whole file is read, and what stands before them thrown away.

        Raises:
            TransferError, IntegrityError: as for `download`. The target's own errors pass through.
        """
        download = _Download(target, sha256, size, progress, first=first, of=of)
        self._from_any(list(dict.fromkeys(urls)), download, headers)

    def _mine(self, store: Store, sha256: str, size: int) -> Part | None:
        """Return the part for this writer alone; None when another one has finished it."""
        while not store.has(sha256, size):
            part = store.resume(sha256)
            if part is None:
                self._clock.sleep(_OTHERS_TURN_S)
                self._persistence.go_on()
            elif store.has(sha256, size):
                # The other one finished between the two questions.
                part.discard()
            else:
                return part
        return None

    def read(
        self,
        url: str,
        *,
        limit: int,
        headers: Headers | None = None,
        form: Mapping[str, str] | None = None,
        patient: bool = True,
        method: str = "",
        own: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Reply:
        """Ask for something small, post a form, or do what may be done twice; return any answer but "later".

        At most `limit` + 1 bytes of it are read. Without `patient` a server that cannot be reached is not tried twice.

        Raises:
            TransferError: no answer came, or `headers` gave up.
        """
        replies: list[Reply] = []

        def once() -> None:
            replies.append(
                self.exchange(url, limit=limit, headers=headers, form=form, method=method, own=own, body=body)
            )

        self.persist(url, once, patient=patient)
        return replies[-1]

    def exchange(
        self,
        url: str,
        *,
        limit: int,
        headers: Headers | None = None,
        form: Mapping[str, str] | None = None,
        method: str = "",
        own: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Reply:
        """Ask once, as a part of what `persist` does.

        Raises:
            FailedError: the server says "later".
            TransferError: `headers` gave up.
        """
        with self._client.ask(url, own or {}, headers, form, method=method, body=body) as response:
            if response.status in _BUSY or (method in ("", "GET") and response.status in _OTHER_RANGE):
                self._check(response, rest=False)
            data = response.read(limit + 1, decode_content=False)
            named = {name.lower(): value for name, value in response.headers.items()}
            return Reply(status=response.status, headers=named, body=data)

    def persist(
        self, url: str, once: Callable[[], None], *, patient: bool = True, came: Callable[[], int] = lambda: 0
    ) -> None:
        """Do something at a server until it works; attempts in which more `came` than ever before do not count.

        Raises:
            TransferError: it does not.
        """
        try:
            self._persistence.persist(url, once, patient=patient, came=came)
        except (RefusedError, DeadError) as refused:
            raise TransferError(
                f"no answer: {refused}",
                place=_shown(url),
                hint="check the network, and name a certificate authority of your own in SSL_CERT_FILE",
            ) from refused

    def go_on(self) -> None:
        """Do nothing, unless everything is to stop.

        Raises:
            StoppedError: it is.
        """
        self._persistence.go_on()

    def likely_first(self, urls: Iterable[str]) -> list[str]:
        """Order URLs so that servers which did not answer before come last."""
        return self._persistence.likely_first(urls)

    def speaks_tls(self, host: str) -> bool:
        """Say whether a server speaks TLS, also where its certificate is not one that we trust."""
        return self._client.speaks_tls(host)

    def stop(self) -> None:
        """Break off everything that is under way; what has come is kept."""
        self._clock.stop()
        self._client.stop()

    def _from_any(self, urls: list[str], download: _Download, headers: Headers | None) -> None:
        """Try each URL; one whose server cannot be reached comes again, with patience, when nothing else is left."""
        reasons: list[str] = []
        hint = _AGAIN
        waiting = deque(self.likely_first(urls))
        dead: set[str] = set()
        while waiting:
            url = waiting.popleft()
            try:
                self._from(url, download, headers, patient=url in dead or not waiting)
                return
            except DeadError:
                dead.add(url)
                waiting.append(url)
            except (RefusedError, TransferError) as refused:
                reasons.append(f"{_shown(url)}: {refused}")
                hint = getattr(refused, "hint", None) or hint
            except IntegrityError as error:
                raise IntegrityError(error.message, place=_shown(url), hint=_OTHER_BYTES) from error
        what = "; ".join(reasons or ["none is configured"])
        raise TransferError(f"no source has the file: {what}", place=download.sha256, hint=hint)

    def _from(self, url: str, download: _Download, headers: Headers | None, *, patient: bool) -> None:
        resumed = download.part.size > 0
        if download.part.size > download.size:
            download.restart()
        self._fill(url, download, headers, patient=patient)
        if resumed and not download.part.holds(download.sha256, download.size):
            # What an earlier run or another mirror left may be what is wrong.
            download.restart()
            self._fill(url, download, headers, patient=patient)
        download.part.commit(sha256=download.sha256, size=download.size)

    def _fill(self, url: str, download: _Download, headers: Headers | None, *, patient: bool) -> None:
        def once() -> None:
            if url.startswith("file:"):
                self._read_file(url, download)
            else:
                self._ask(url, download, headers)
            if download.part.size < download.size:
                raise FailedError(f"ended after {download.part.size} of {download.size} bytes")

        if download.part.size < download.size:
            self._persistence.persist(url, once, patient=patient, came=lambda: download.most)

    def _ask(self, url: str, download: _Download, headers: Headers | None) -> None:
        part = download.part
        own = {"Range": download.wanted} if download.wanted else {}
        with self._client.ask(url, own, headers) as response:
            rest = _is_rest(response, download.first + part.size)
            if response.status in (200, *_OTHER_RANGE) and not rest:
                download.restart()
            self._check(response, rest=rest)

            def read(count: int) -> bytes:
                # The bytes as they stand in the archive, also where a server calls a .tar.gz an encoding.
                return response.read(count, decode_content=False)

            if not rest:
                self._skip(read, download.first)
            self._copy(read, download)

    def _read_file(self, url: str, download: _Download) -> None:
        download.restart()
        try:
            with open(unquote(urlsplit(url).path), "rb", buffering=0) as stream:  # noqa: PTH123 (a path of a URL)
                self._copy(stream.read, download)
        except FileNotFoundError as error:
            raise RefusedError("no such file") from error

    def _skip(self, read: Callable[[int], bytes], count: int) -> None:
        while count > 0 and (piece := read(min(count, PIECE_BYTES))):
            self._persistence.go_on()
            count -= len(piece)

    def _copy(self, read: Callable[[int], bytes], download: _Download) -> None:
        """Copy in pieces of about a tenth of a second: a slow line shows that it moves, a fast one is not held up."""
        count = 4 * _LEAST_PIECE_BYTES
        while (most := download.most_next) > 0:
            began = self._clock.now()
            piece = read(min(count, most))
            self._persistence.go_on()
            if not piece:
                return
            download.write(piece)
            took = self._clock.now() - began
            if took < 0.1:
                count = min(2 * count, PIECE_BYTES)
            elif took > 0.5:
                count = max(count // 2, _LEAST_PIECE_BYTES)

    def _check(self, response: BaseHTTPResponse, *, rest: bool) -> None:
        if response.status == 200 or rest:
            return
        reason = f"answered {response.status}"
        if response.status in _OTHER_RANGE:
            raise FailedError(reason, pressed=False)
        if response.status in _BUSY:
            raise FailedError(reason, wait_s=retry_after(response.headers, self._clock))
        raise RefusedError(reason)


def _is_rest(response: BaseHTTPResponse, size: int) -> bool:
    return response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {size}-")


def _shown(url: str) -> str:
    """Return a URL without user name, password and query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
