"""What stands between the network and the runtime, as plain ASGI layers."""

import asyncio
import json
import logging
import re
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from conversation import BadRequest, Outcome, parse_request
from metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = logging.getLogger("agent")

OPEN_ROUTES = {"/": "GET", "/health": "GET", "/ready": "GET", "/metrics": "GET", "/process": "POST"}
REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
BODY_TIMEOUT_S = 30
# By the codes of `endpoint.explain`.
STATUSES = {"MODEL_TIMEOUT": 504, "MODEL_FAILED": 502}


class Refusal(Exception):  # noqa: N818 - it is an answer, not a fault of ours
    """A request that is answered here and does not reach the runtime."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


class Edge:
    """Give every request an id, count it and write one line about it."""

    def __init__(self, app: App, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        seen = {"status": 500}

        async def tagged(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen["status"] = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, tagged)
        finally:
            self._account(scope, seen["status"])

    def _account(self, scope: Scope, status: int) -> None:
        route = scope["path"] if scope["path"] in OPEN_ROUTES else "other"
        method = scope["method"] if scope["method"] in ("GET", "POST", "HEAD", "OPTIONS") else "other"
        self._metrics.requests.add(method, route, str(status))
        if route == "other" or status >= 400:
            logger.info("request id=%s %s %r status=%d", _id(scope), method, scope["path"][:200], status)


class Conversations:
    """Hold POST /process to its limits and account for every conversation."""

    def __init__(self, app: App, metrics: Metrics, *, max_body_bytes: int, max_concurrent: int) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body_bytes = max_body_bytes
        self._max_concurrent = max_concurrent
        self._in_flight = 0
        self._sessions: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", "/process"):
            await self._app(scope, receive, send)
            return
        try:
            await self._admit(scope, receive, send)
        except Refusal as refusal:
            await _refuse(send, refusal)

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._in_flight >= self._max_concurrent:
            detail = f"{self._max_concurrent} conversations are being answered; try again"
            raise Refusal(503, detail, {"retry-after": "1"})
        self._count(+1)
        try:
            request = await self._read(scope, receive)
            key = (request["user_id"], request["session_id"])
            if key in self._sessions:
                raise Refusal(409, f"session {key[1]!r} is being answered; wait for its end")
            self._sessions.add(key)
            try:
                await self._converse(scope, receive, send, request)
            finally:
                self._sessions.discard(key)
        finally:
            self._count(-1)

    def _count(self, by: int) -> None:
        self._in_flight += by
        self._metrics.in_flight.set(self._in_flight)

    async def _read(self, scope: Scope, receive: Receive) -> dict[str, Any]:
        headers = dict(scope["headers"])
        if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
            raise Refusal(415, "content-type: expected application/json")
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await _body(receive, self._max_body_bytes, headers.get(b"content-length", b"0"))
            return parse_request(body)
        except TimeoutError:
            raise Refusal(408, f"body: expected within {BODY_TIMEOUT_S} s") from None
        except BadRequest as error:
            raise Refusal(400, str(error)) from None

    async def _converse(self, scope: Scope, receive: Receive, send: Send, request: dict[str, Any]) -> None:
        outcome, started = Outcome(), time.monotonic()
        held = Held(outcome, send)

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.body":
                outcome.feed(message.get("body", b""))
            await held.take(message)

        try:
            await self._app(*_with_body(scope, receive, json.dumps(request).encode()), watched)
        finally:
            self._account(scope, request, outcome, time.monotonic() - started)
        if held.is_refused:
            raise failure(outcome.error)

    def _account(self, scope: Scope, request: dict[str, Any], outcome: Outcome, duration_s: float) -> None:
        self._metrics.conversations.add(outcome.name)
        self._metrics.duration.observe(outcome.name, duration_s)
        logger.info(
            "conversation id=%s user=%s session=%s outcome=%s seconds=%.3f input_tokens=%s output_tokens=%s",
            _id(scope),
            request["user_id"],
            request["session_id"],
            outcome.name,
            duration_s,
            outcome.usage.get("input_tokens", "-"),
            outcome.usage.get("output_tokens", "-"),
        )


class Held:
    """Hold an answer back until something of it is there: a failure before that becomes a status of HTTP."""

    def __init__(self, outcome: Outcome, send: Send) -> None:
        self._outcome = outcome
        self._send = send
        self._messages: list[Message] | None = []
        self.is_refused = False

    async def take(self, message: Message) -> None:
        """Keep a message, or send it on with what was kept."""
        if self.is_refused:
            return
        if self._messages is None:
            await self._send(message)
            return
        self._messages.append(message)
        if self._outcome.name == "failed" and not self._outcome.is_begun:
            self.is_refused = True
        elif self._is_decided(message):
            kept, self._messages = self._messages, None
            for one in kept:
                await self._send(one)

    def _is_decided(self, message: Message) -> bool:
        if message["type"] == "http.response.start":
            return bool(message["status"] != 200)
        return self._outcome.is_begun or self._outcome.name != "cancelled" or not message.get("more_body", False)


def failure(error: dict[str, Any]) -> Refusal:
    """Return what a client is told of a conversation that failed before its first word."""
    return Refusal(STATUSES.get(str(error.get("code")), 500), str(error.get("message") or "the service failed"))


def _request_id(scope: Scope) -> str:
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _id(scope: Scope) -> str:
    return str(scope["state"]["request_id"])


async def _body(receive: Receive, limit: int, declared: bytes) -> bytes:
    too_large = Refusal(413, f"body: expected at most {limit} bytes", {"connection": "close"})
    # The server has checked that the length is a number.
    if int(declared) > limit:
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Refusal(400, "body: the client went away")
        body += message.get("body", b"")
        if len(body) > limit:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)


def _with_body(scope: Scope, receive: Receive, body: bytes) -> tuple[Scope, Receive]:
    unsized = [(name, value) for name, value in scope["headers"] if name not in SIZING]
    headers = [*unsized, (b"content-length", str(len(body)).encode())]
    parts = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return parts.pop() if parts else await receive()

    return {**scope, "headers": headers}, replay


SIZING = (b"content-length", b"transfer-encoding")


async def _refuse(send: Send, refusal: Refusal) -> None:
    body = json.dumps({"error": refusal.detail}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), **refusal.headers}
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
