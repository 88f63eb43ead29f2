"""The model endpoint: one shared client, its usage per conversation, and whether it is there."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import httpx
from agentscope.model import ChatModelBase, ChatResponse, OpenAIChatModel
from metrics import Metrics
from settings import Settings

PROBE_TIMEOUT_S = 2.0
PROBE_LIFETIME_S = 5.0


def open_client(settings: Settings) -> httpx.AsyncClient:
    """Open the one connection pool; a client for each conversation costs more than the conversation."""
    room = settings.max_concurrent + 8
    return httpx.AsyncClient(
        timeout=httpx.Timeout(settings.model_timeout_s, connect=5.0),
        limits=httpx.Limits(max_connections=room, max_keepalive_connections=room),
    )


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


class ModelProbe:
    """Ask the endpoint for its models, at most once in PROBE_LIFETIME_S."""

    def __init__(self, settings: Settings, client: httpx.AsyncClient, metrics: Metrics) -> None:
        self._settings = settings
        self._client = client
        self._metrics = metrics
        self._lock = asyncio.Lock()
        self._asked_at = float("-inf")
        self._problem: str | None = None

    async def problem(self) -> str | None:
        """Return why the model cannot answer, or None when it can."""
        async with self._lock:
            if time.monotonic() - self._asked_at >= PROBE_LIFETIME_S:
                self._problem = await self._ask()
                self._asked_at = time.monotonic()
                self._metrics.model_up.set(self._problem is None)
            return self._problem

    async def _ask(self) -> str | None:
        url = f"{self._settings.model_base_url}/models"
        headers = {"authorization": f"Bearer {self._settings.model_api_key}"}
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                answer = await self._client.get(url, headers=headers)
        except TimeoutError:
            return f"model endpoint {url}: no answer within {PROBE_TIMEOUT_S:g} s"
        except httpx.HTTPError as error:
            return f"model endpoint {url}: {str(error) or type(error).__name__}"
        if answer.status_code != 200:
            return f"model endpoint {url}: expected status 200, got {answer.status_code}"
        return self._unserved(answer, url)

    def _unserved(self, answer: httpx.Response, url: str) -> str | None:
        try:
            served = sorted(str(model["id"]) for model in answer.json()["data"])
        except (ValueError, TypeError, KeyError):
            return f"model endpoint {url}: expected a list of models"
        # A gateway may list nothing and still serve; a list without our model is a wrong MODEL_NAME.
        if served and self._settings.model_name not in served:
            return f"model {self._settings.model_name!r} is not served; served: {', '.join(served)[:200]}"
        return None
