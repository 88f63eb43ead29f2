"""The HTTP side of an agent that brings none: POST /process in server-sent events, as agentscope-runtime has them."""

import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
from endpoint import explain
from guards import App
from metrics import Metrics
from service import Service
from settings import Settings
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

logger = logging.getLogger("agent")


@dataclass(kw_only=True, slots=True)
class Turn:
    """What a user says in a session, as pairs of role and text; the agent adds up the tokens that it takes."""

    user_id: str
    session_id: str
    said: list[tuple[str, str]]
    input_tokens: int = 0
    output_tokens: int = 0

    def count(self, input_tokens: int, output_tokens: int) -> None:
        """Add the tokens of one call of the model."""
        self.input_tokens += input_tokens
        self.output_tokens += output_tokens

    def usage(self) -> dict[str, int] | None:
        """Return the tokens as they stand in an event, None when the model told none."""
        total = self.input_tokens + self.output_tokens
        if not total:
            return None
        return {"input_tokens": self.input_tokens, "output_tokens": self.output_tokens, "total_tokens": total}


class Agent(Protocol):
    """What a framework has to offer."""

    def answer(self, turn: Turn) -> AsyncGenerator[str, None]:
        """Yield the answer piece by piece and keep the session; after a failure it is as it was before."""
        ...


Open = Callable[[Settings, httpx.AsyncClient], AbstractAsyncContextManager[Agent]]


def build(settings: Settings, open_agent: Open) -> App:
    """Make the ASGI application of an agent, guards outermost."""
    service = Dialogue(settings, open_agent)
    routes = [
        Route("/", service.about, methods=["GET"]),
        Route("/health", service.health, methods=["GET"]),
        Route("/ready", service.ready, methods=["GET"]),
        Route("/metrics", service.render_metrics, methods=["GET"]),
        Route("/process", service.process, methods=["POST"]),
    ]
    app = Starlette(routes=routes, lifespan=service.lifespan)
    # A path that ends in a slash is another path, and no redirection.
    app.router.redirect_slashes = False
    return service.guard(app)


class Dialogue(Service):
    """An agent behind HTTP."""

    def __init__(self, settings: Settings, open_agent: Open) -> None:
        super().__init__(settings)
        self._open_agent = open_agent
        self._agent: Agent

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Hold the agent and its connections as long as the service runs."""
        async with self.connect() as client, self._open_agent(self.settings, client) as self._agent:
            yield

    async def about(self, _request: Request) -> Response:
        """Say where to go."""
        return JSONResponse({"service": "agent", "endpoints": {"process": "/process", "health": "/health"}})

    async def health(self, _request: Request) -> Response:
        """Say that the process lives."""
        return JSONResponse({"status": "healthy"})

    async def process(self, request: Request) -> Response:
        """Answer a request that the guards have let in and rebuilt."""
        data = await request.json()
        said = [(one["role"], "".join(part["text"] for part in one["content"])) for one in data["input"]]
        turn = Turn(user_id=data["user_id"], session_id=data["session_id"], said=said)
        return StreamingResponse(_events(turn, self._agent, self.metrics), media_type="text/event-stream")


async def _events(turn: Turn, agent: Agent, metrics: Metrics) -> AsyncGenerator[bytes, None]:
    reply = Reply(turn.session_id)
    yield reply.response("created")
    yield reply.response("in_progress")
    try:
        async with aclosing(agent.answer(turn)) as pieces:
            async for piece in pieces:
                if not reply.text:
                    yield reply.message("in_progress")
                yield reply.piece(piece)
    except Exception as error:
        logger.exception("conversation failed user=%s session=%s", turn.user_id, turn.session_id)
        yield reply.failed(*explain(error))
        return
    finally:
        metrics.tokens.add("input", by=turn.input_tokens)
        metrics.tokens.add("output", by=turn.output_tokens)
    if not reply.text:
        yield reply.message("in_progress")
    yield reply.whole()
    yield reply.message("completed", turn.usage())
    yield reply.response("completed", turn.usage())


class Reply:
    """The events of one answer, in the order in which they are made."""

    def __init__(self, session_id: str) -> None:
        self.text = ""
        self._session_id = session_id
        self._id = f"response_{uuid.uuid4()}"
        self._message_id = f"msg_{uuid.uuid4()}"
        self._created_at = int(time.time())
        self._number = -1
        self._last: list[dict[str, Any]] = []

    def response(self, status: str, usage: dict[str, int] | None = None) -> bytes:
        """Tell where the whole stands."""
        is_done = status == "completed"
        return self._send(self._response(status) | {"output": self._last if is_done else None, "usage": usage})

    def failed(self, code: str, message: str) -> bytes:
        """Tell that there will be no answer, and why."""
        return self._send(self._response("failed") | {"error": {"code": code, "message": message}})

    def piece(self, text: str) -> bytes:
        """Tell the next piece of the text."""
        self.text += text
        return self._send(self._content("in_progress", text) | {"delta": True})

    def whole(self) -> bytes:
        """Tell the text in one piece."""
        return self._send(self._content("completed", self.text))

    def message(self, status: str, usage: dict[str, int] | None = None) -> bytes:
        """Tell where the message stands; behind its text, with the text."""
        fixed = {"id": self._message_id, "type": "message", "role": "assistant", "usage": usage}
        content = self._last if status == "completed" else None
        return self._send({"object": "message", "status": status, **fixed, "content": content})

    def _response(self, status: str) -> dict[str, Any]:
        return {
            "object": "response",
            "status": status,
            "error": None,
            "id": self._id,
            "created_at": self._created_at,
            "completed_at": int(time.time()) if status == "completed" else None,
            "output": None,
            "usage": None,
            "session_id": self._session_id,
        }

    def _content(self, status: str, text: str) -> dict[str, Any]:
        return {
            "object": "content",
            "status": status,
            "type": "text",
            "index": 0,
            "delta": None,
            "msg_id": self._message_id,
            "text": text,
        }

    def _send(self, event: dict[str, Any]) -> bytes:
        self._number += 1
        numbered = {"sequence_number": self._number, **event}
        if event["status"] == "completed":
            # The next event holds what this one completes.
            self._last = [numbered]
        return f"data: {json.dumps(numbered, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
