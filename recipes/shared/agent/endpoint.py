"""The model endpoint: whether it is there, and how it fails."""

import asyncio
import time

import httpx
import openai
from metrics import Metrics
from settings import Settings

PROBE_TIMEOUT_S = 2.0
PROBE_LIFETIME_S = 5.0


def explain(error: Exception) -> tuple[str, str]:
    """Return the code and the message with which a client is told of a failure.

    What the endpoint said is told, as it is the operator's own; what went wrong in here stands in the log alone.
    """
    if isinstance(error, (openai.APITimeoutError, httpx.TimeoutException)):
        return "MODEL_TIMEOUT", "the model did not answer in time"
    if isinstance(error, openai.APIStatusError):
        return "MODEL_FAILED", f"the model endpoint answered with status {error.status_code}"
    if isinstance(error, (openai.APIError, httpx.HTTPError)):
        return "MODEL_FAILED", f"the model endpoint failed: {str(error) or type(error).__name__}"
    return "SERVICE_FAILED", "the service failed; its log says why"


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
