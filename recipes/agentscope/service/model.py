"""The model as AgentScope calls it, and its usage per conversation."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx
from agentscope.model import ChatModelBase, ChatResponse, OpenAIChatModel
from metrics import Metrics
from settings import Settings


def chat_model(settings: Settings, client: httpx.AsyncClient) -> OpenAIChatModel:
    """Make the model that all conversations share."""
    return OpenAIChatModel(
        settings.model_name,
        api_key=settings.model_api_key,
        stream=True,
        client_kwargs={"base_url": settings.model_base_url, "http_client": client},
    )


class MeteredModel(ChatModelBase):
    """The shared model as one conversation sees it: the same answers, and the tokens summed."""

    def __init__(self, inner: ChatModelBase, metrics: Metrics) -> None:
        super().__init__(inner.model_name, inner.stream)
        self._inner = inner
        self._metrics = metrics
        self.usage: dict[str, int] | None = None

    async def __call__(self, *args: Any, **kwargs: Any) -> ChatResponse | AsyncGenerator[ChatResponse, None]:
        response = await self._inner(*args, **kwargs)
        if isinstance(response, ChatResponse):
            self._take(response.usage)
            return response
        return self._stream(response)

    async def _stream(self, chunks: AsyncGenerator[ChatResponse, None]) -> AsyncGenerator[ChatResponse, None]:
        # Every chunk repeats the usage so far, so only the last one counts.
        before, last = self.usage, None
        try:
            async with aclosing(chunks):
                async for chunk in chunks:
                    if chunk.usage:
                        last = chunk.usage
                        self.usage = _sum(before, last)
                    yield chunk
        finally:
            self._count(last)

    def _take(self, usage: Any) -> None:
        if usage:
            self.usage = _sum(self.usage, usage)
            self._count(usage)

    def _count(self, usage: Any) -> None:
        if usage:
            self._metrics.tokens.add("input", by=usage.input_tokens)
            self._metrics.tokens.add("output", by=usage.output_tokens)


def _sum(before: dict[str, int] | None, usage: Any) -> dict[str, int]:
    have = before or {"input_tokens": 0, "output_tokens": 0}
    tokens_in = have["input_tokens"] + usage.input_tokens
    tokens_out = have["output_tokens"] + usage.output_tokens
    return {"input_tokens": tokens_in, "output_tokens": tokens_out, "total_tokens": tokens_in + tokens_out}
