"""An AutoGen agent for each turn: its state is loaded from the session's file before it and saved after it."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import dialogue
import httpx
from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import Response
from autogen_agentchat.messages import ModelClientStreamingChunkEvent
from autogen_core import CancellationToken
from autogen_core.models import AssistantMessage, ModelFamily, ModelInfo, UserMessage
from autogen_ext.models.openai import OpenAIChatCompletionClient
from dialogue import Turn
from guards import App
from settings import Settings
from state import replace_file, session_file

AGENT_NAME = "assistant"
# What may be asked of any endpoint; the library knows only the models of one vendor by name.
MODEL_INFO = ModelInfo(
    vision=False, function_calling=True, json_output=False, family=ModelFamily.UNKNOWN, structured_output=False
)


class AutoGenAgent:
    """The assistants of all sessions share one client of the model."""

    def __init__(self, client: OpenAIChatCompletionClient, sessions: Path, sys_prompt: str) -> None:
        self._client = client
        self._sessions = sessions
        self._sys_prompt = sys_prompt

    async def answer(self, turn: Turn) -> AsyncGenerator[str, None]:
        """Yield the answer piece by piece and keep the session; after a failure it is as it was before."""
        path = session_file(self._sessions, turn.user_id, turn.session_id)
        agent = AssistantAgent(AGENT_NAME, self._client, system_message=self._sys_prompt, model_client_stream=True)
        if path.exists():
            await agent.load_state(json.loads(await asyncio.to_thread(path.read_text, encoding="utf-8")))
        await _hear(agent, turn)
        cancellation = CancellationToken()
        try:
            async with aclosing(agent.on_messages_stream([], cancellation)) as events:
                async for event in events:
                    if isinstance(event, ModelClientStreamingChunkEvent):
                        yield event.content
                    elif isinstance(event, Response) and (usage := event.chat_message.models_usage):
                        turn.count(usage.prompt_tokens, usage.completion_tokens)
        finally:
            # Without it the agent keeps the model busy after its client has gone.
            cancellation.cancel()
        text = json.dumps(await agent.save_state(), ensure_ascii=False)
        await asyncio.to_thread(replace_file, path, text)


async def _hear(agent: AssistantAgent, turn: Turn) -> None:
    """Put what is said into the agent's context: as its messages all would be the user's."""
    for role, text in turn.said:
        message = AssistantMessage(content=text, source=AGENT_NAME)
        await agent.model_context.add_message(
            message if role == "assistant" else UserMessage(content=text, source="user")
        )


@asynccontextmanager
async def open_agent(settings: Settings, client: httpx.AsyncClient) -> AsyncIterator[AutoGenAgent]:
    """Open the client of the model."""
    model = OpenAIChatCompletionClient(
        model=settings.model_name,
        base_url=settings.model_base_url,
        api_key=settings.model_api_key,
        timeout=settings.model_timeout_s,
        http_client=client,
        model_info=MODEL_INFO,
        include_name_in_message=False,
        stream_options={"include_usage": True},
    )
    yield AutoGenAgent(model, settings.state_dir / "sessions", settings.sys_prompt)


def build(settings: Settings) -> App:
    """Make the ASGI application."""
    return dialogue.build(settings, open_agent)
