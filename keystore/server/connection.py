"""One client's connection: requests one after the other, each within its time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, cast

from keystore.server import http
from keystore.server.http import Chunks, Head, HttpError
from keystore.service.message import JSON, Inbound, Reply

PREFIX = "/v1/"
HEAD_S, BODY_S, IDLE_S, SEND_S = 10.0, 60.0, 300.0, 60.0
LARGE_BYTES, LARGE_MOST = 256 * 1024, 16
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
Handle = Callable[[Inbound, Callable[[Reply], None]], None]


class Connection(asyncio.Protocol):
    """Read requests, hand each to the service, and send its answer before the next is looked at."""

    def __init__(self, handle: Handle, connections: set[Connection], clock: Callable[[], float], most: int) -> None:
        self._handle = handle
        self._connections = connections
        self._clock = clock
        self._most = most
        self._buffer = bytearray()
        self._head: Head | None = None
        self._chunks: Chunks | None = None
        self._busy = False
        self._ended = False
        self._full = False
        self._large = False
        self._remote = ""
        self._certificate: bytes | None = None
        self._deadline = clock() + HEAD_S
        self._transport: asyncio.Transport = cast("asyncio.Transport", None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a new connection, unless there are too many."""
        self._transport = cast("asyncio.Transport", transport)
        peer = transport.get_extra_info("peername")
        self._remote = str(peer[0]) if isinstance(peer, tuple) else "unix"
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self._certificate = tls.getpeercert(binary_form=True)
        if len(self._connections) >= self._most:
            self._ended = True
            self._transport.abort()
            return
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; what it asked for is still carried out."""
        self._ended = True
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        """Take bytes, as far as they are wanted."""
        if not self._buffer and self._head is None and not self._busy:
            self._deadline = self._clock() + HEAD_S
        self._buffer += data
        if self._busy or self._full:
            # Who sends on without waiting for answers is not read from until they are out.
            if len(self._buffer) > http.HEAD_BYTES:
                self._transport.pause_reading()
            return
        self._advance()

    def pause_writing(self) -> None:
        """Look at no further request while the client does not take the answers that there are."""
        self._full = True
        self._deadline = self._clock() + SEND_S

    def resume_writing(self) -> None:
        """Go on, as the client has taken them."""
        self._full = False
        self._deadline = self._clock() + IDLE_S
        if not self._ended and not self._busy:
            self._transport.resume_reading()
        if self._buffer and not self._busy:
            asyncio.get_running_loop().call_soon(self._advance)

    def sweep(self, now: float) -> None:
        """End a connection whose time is over."""
        if self._full and not self._busy and now > self._deadline:
            self._transport.abort()
            return
        if not self._ended and not self._busy and now > self._deadline:
            if self._buffer or self._head is not None:
                self._refuse(HttpError(408, "expected a whole request in time, got a part of it"))
            elif not self._transport.is_closing():
                self._transport.close()
        if self._transport.is_closing() and now > self._deadline + SEND_S:
            self._transport.abort()

    def shut(self) -> None:
        """End the connection, now or after the answer that is under way."""
        if self._busy:
            self._head = None
        else:
            self._transport.close()

    def _advance(self) -> None:
        """Take one request; its answer asks for the next, so that who sends many at once keeps nobody waiting."""
        if self._busy or self._ended or self._full or self._transport.is_closing():
            return
        try:
            self._read()
        except HttpError as error:
            self._refuse(error)

    def _read(self) -> None:
        """Take one request off the buffer, if it is whole."""
        if self._head is None and not self._read_head():
            return
        head = self._head
        assert head is not None
        if self._chunks is not None:
            if not self._chunks.feed(self._buffer):
                return
            body = bytes(self._chunks.body)
        else:
            length = head.length or 0
            if len(self._buffer) < length:
                return
            body = bytes(self._buffer[:length])
            del self._buffer[:length]
        self._head = self._chunks = None
        self._large = False
        self._serve(head, body)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n", 0, http.HEAD_BYTES + 4)
        if end < 0:
            if len(self._buffer) > http.HEAD_BYTES:
                raise HttpError(431, f"expected a head of at most {http.HEAD_BYTES} bytes, got more")
            return False
        head = http.parse_head(bytes(self._buffer[:end]))
        del self._buffer[: end + 4]
        self._head = head
        self._chunks = Chunks() if head.length is None else None
        self._deadline = self._clock() + BODY_S
        self._expect_room(head)
        if head.headers.get("expect", "").lower() == "100-continue":
            self._transport.write(_CONTINUE)
        return True

    def _expect_room(self, head: Head) -> None:
        """Refuse a large body while many others are on their way: nobody has shown a right to this memory yet."""
        self._large = head.length is None or head.length > LARGE_BYTES
        if self._large and sum(one._large for one in self._connections) > LARGE_MOST:
            raise HttpError(503, f"expected at most {LARGE_MOST} large requests at a time, got more: try again")

    def _serve(self, head: Head, body: bytes) -> None:
        path = head.path
        if not path.startswith(PREFIX):
            self._send(Reply(404, JSON, b'{"errors":[]}\n'), head)
            return
        self._busy = True
        self._handle(self._inbound(head, path, body), lambda reply: self._send(reply, head))

    def _inbound(self, head: Head, path: str, body: bytes) -> Inbound:
        headers = head.headers
        token = headers.get("x-vault-token", "")
        bearer = headers.get("authorization", "")
        if not token and bearer.startswith("Bearer "):
            token = bearer.removeprefix("Bearer ").strip()
        return Inbound(
            method=head.method,
            path=path.removeprefix(PREFIX),
            query=head.query,
            body=body,
            token=token,
            wrap_ttl=headers.get("x-vault-wrap-ttl", ""),
            namespace=headers.get("x-vault-namespace", ""),
            remote=self._remote,
            certificate=self._certificate,
        )

    def _send(self, reply: Reply, head: Head) -> None:
        self._busy = False
        if self._ended:
            return
        bodyless = head.method == "HEAD"
        self._transport.write(
            http.response(reply.status, reply.media_type, reply.body, keep=head.keep, bodyless=bodyless)
        )
        self._deadline = self._clock() + (SEND_S if self._full else IDLE_S)
        if not head.keep:
            self._ended = True
            self._transport.close()
            return
        self._transport.resume_reading()
        if self._buffer and not self._full:
            asyncio.get_running_loop().call_soon(self._advance)

    def _refuse(self, error: HttpError) -> None:
        body = json.dumps({"errors": [error.message]}).encode() + b"\n"
        self._transport.write(http.response(error.status, JSON, body, keep=False))
        self._ended = True
        self._deadline = self._clock()
        self._transport.close()


def factory(handle: Handle, connections: set[Connection], clock: Callable[[], float], most: int) -> Any:
    """Return what makes a protocol for each new connection."""
    return lambda: Connection(handle, connections, clock, most)
