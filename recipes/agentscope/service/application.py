"""Put the agent, the runtime and the guards together."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import agentscope_runtime.adapters.agentscope.message
import agentscope_runtime.adapters.agentscope.stream  # noqa: F401
import openai.resources  # noqa: F401
from agentscope.agent import ReActAgent
from agentscope.formatter import OpenAIChatFormatter
from agentscope.memory import InMemoryMemory
from agentscope.message import Msg
from agentscope.model import OpenAIChatModel
from agentscope.pipeline import stream_printing_messages
from agentscope.tool import Toolkit
from agentscope_runtime.engine.app import AgentApp
from agentscope_runtime.engine.deployers.adapter.protocol_adapter import ProtocolAdapter
from agentscope_runtime.engine.schemas.agent_schemas import AgentRequest
from agentscope_runtime.engine.schemas.exception import AppBaseException
from endpoint import explain
from fastapi import FastAPI
from guards import OPEN_ROUTES, App
from model import MeteredModel, chat_model
from service import Service
from sessions import SessionStore
from settings import Settings

AGENT_NAME = "assistant"


class NoProtocol(ProtocolAdapter):
    """Stand where the runtime would add A2A, AG-UI and Responses, which pass by the checks of /process.

    The A2A adapter also resolves the host's own name, which waits for a name server that is not there.
    """

    def add_endpoint(self, app: Any, func: Any, **kwargs: Any) -> None:
        """Add nothing."""


class AgentScope(Service):
    """The agents of AgentScope: what their conversations share."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.sessions = SessionStore(save_dir=str(settings.state_dir / "sessions"))
        self._model: OpenAIChatModel

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        """Hold the connections to the model as long as the service runs."""
        # Whatever the runtime registers, it has done so by now.
        close_routes(app)
        async with self.connect() as client:
            self._model = chat_model(self.settings, client)
            yield

    async def answer(self, msgs: list[Msg], request: AgentRequest) -> AsyncGenerator[tuple[Msg, bool], None]:
        """Answer one request within its session, as a stream of messages."""
        model = MeteredModel(self._model, self.metrics)
        agent = ReActAgent(
            name=AGENT_NAME,
            sys_prompt=self.settings.sys_prompt,
            model=model,
            formatter=OpenAIChatFormatter(),
            memory=InMemoryMemory(),
            toolkit=Toolkit(),
        )
        agent.set_console_output_enabled(False)
        session = {"session_id": request.session_id, "user_id": request.user_id, "agent": agent}
        await self.sessions.load_session_state(**session)
        async with aclosing(_printed(agent, msgs)) as printed:
            async for message, last in printed:
                message.usage = model.usage
                yield message, last
        await self.sessions.save_session_state(**session)


def build(settings: Settings) -> App:
    """Make the ASGI application, guards outermost."""
    service = AgentScope(settings)
    runtime = AgentApp(
        app_name="agentscope-agent",
        lifespan=service.lifespan,
        protocol_adapters=[NoProtocol()],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )

    # FastAPI would make a response model of the return annotation, so there is none.
    @runtime.query(framework="agentscope")
    async def answer(_runner: Any, msgs: list[Msg], request: AgentRequest, **_more: Any):
        try:
            async with aclosing(service.answer(msgs, request)) as messages:
                async for message, last in messages:
                    yield message, last
        except Exception as error:
            code, told = explain(error)
            raise AppBaseException(500, code, told) from error

    runtime.add_api_route("/ready", service.ready, methods=["GET"], response_model=None)
    runtime.add_api_route("/metrics", service.render_metrics, methods=["GET"], response_model=None)
    # The guards let one conversation of a session in at a time; the stock backend does the same and keeps
    # a record of every session for ever.
    runtime._interrupt_backend = None
    # The stock middleware allows every origin; its other one buffers and does nothing in this mode.
    runtime.user_middleware.clear()
    return service.guard(runtime)


def close_routes(app: FastAPI) -> None:
    """Keep the routes that are meant to be open, whatever the runtime has registered."""
    app.router.routes[:] = [
        route for route in app.router.routes if getattr(route, "methods", None) == {OPEN_ROUTES.get(route.path)}
    ]


async def _printed(agent: ReActAgent, msgs: list[Msg]) -> AsyncGenerator[tuple[Msg, bool], None]:
    # Without the cancellation the agent keeps the model busy after its client has gone.
    task = asyncio.create_task(agent(msgs))
    try:
        async for message, last in stream_printing_messages(agents=[agent], coroutine_task=_settled(task)):
            yield message, last
    finally:
        task.cancel()


async def _settled(task: asyncio.Task[Msg]) -> Msg:
    return await task
