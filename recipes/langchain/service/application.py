"""A LangGraph agent: its conversations are checkpoints in one SQLite file of the state directory."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import dialogue
import httpx
from dialogue import Turn
from guards import App
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from pydantic import SecretStr
from settings import Settings

MESSAGES: dict[str, type[AnyMessage]] = {"user": HumanMessage, "assistant": AIMessage}


class LangGraphAgent:
    """One graph for all sessions; a session is a thread of it."""

    def __init__(self, model: ChatOpenAI, saver: AsyncSqliteSaver, sys_prompt: str) -> None:
        self._saver = saver
        self._graph: Any = create_agent(model, system_prompt=sys_prompt, checkpointer=saver)

    async def answer(self, turn: Turn) -> AsyncGenerator[str, None]:
        """Yield the answer piece by piece and keep the session; after a failure it is as it was before."""
        # No id holds a slash, so no two sessions share a thread.
        thread = f"{turn.user_id}/{turn.session_id}"
        await self._keep_last_whole(thread)
        said = {"messages": [MESSAGES[role](text) for role, text in turn.said]}
        config = {"configurable": {"thread_id": thread}}
        # Written when the turn is over: a process that dies leaves the session at its last answer.
        stream = self._graph.astream(said, config, stream_mode="messages", durability="exit")
        async with aclosing(stream) as chunks:
            async for chunk, _ in chunks:
                if isinstance(chunk, AIMessageChunk):
                    if usage := chunk.usage_metadata:
                        turn.count(usage["input_tokens"], usage["output_tokens"])
                    if chunk.text:
                        yield chunk.text

    async def _keep_last_whole(self, thread: str) -> None:
        """Drop what a failed or abandoned turn left, and what was before the last answer: each holds all messages."""
        config = {"configurable": {"thread_id": thread}}
        kept, dropped = "", False
        async for state in self._graph.aget_state_history(config):
            if not kept and not state.next:
                kept = state.config["configurable"]["checkpoint_id"]
            else:
                dropped = True
        if not dropped:
            return
        async with self._saver.lock:
            for table in ("checkpoints", "writes"):
                await self._saver.conn.execute(
                    f"DELETE FROM {table} WHERE thread_id = ? AND checkpoint_id != ?", (thread, kept)
                )
            await self._saver.conn.commit()


@asynccontextmanager
async def open_agent(settings: Settings, client: httpx.AsyncClient) -> AsyncIterator[LangGraphAgent]:
    """Open the checkpoints and the model."""
    model = ChatOpenAI(
        model=settings.model_name,
        base_url=settings.model_base_url,
        api_key=SecretStr(settings.model_api_key),
        http_async_client=client,
        streaming=True,
        stream_usage=True,
        timeout=settings.model_timeout_s,
    )
    async with AsyncSqliteSaver.from_conn_string(str(settings.state_dir / "checkpoints.sqlite")) as saver:
        await saver.setup()
        yield LangGraphAgent(model, saver, settings.sys_prompt)


def build(settings: Settings) -> App:
    """Make the ASGI application."""
    return dialogue.build(settings, open_agent)
