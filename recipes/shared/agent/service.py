"""What every agent service has, whatever its framework: the connection to the model, readiness, metrics, guards."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from endpoint import ModelProbe
from guards import App, Conversations, Edge
from metrics import CONTENT_TYPE, Metrics
from settings import Settings
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from state import state_problem


class Service:
    """One process of an agent service."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics(settings.max_concurrent)
        self._probe: ModelProbe

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[httpx.AsyncClient]:
        """Hold one pool of connections to the model: a client for each conversation costs more than that."""
        room = self.settings.max_concurrent + 8
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(self.settings.model_timeout_s, connect=5.0),
            limits=httpx.Limits(max_connections=room, max_keepalive_connections=room),
        ) as client:
            self._probe = ModelProbe(self.settings, client, self.metrics)
            yield client

    async def ready(self, _request: Request) -> Response:
        """Answer whether a conversation would succeed."""
        problem = state_problem(self.settings.state_dir) or await self._probe.problem()
        if problem:
            return JSONResponse({"status": "not ready", "reason": problem}, status_code=503)
        return JSONResponse({"status": "ready"})

    async def render_metrics(self, _request: Request) -> Response:
        """Answer the metrics, with the model's state not older than the probe allows."""
        await self._probe.problem()
        return Response(self.metrics.render(), media_type=CONTENT_TYPE)

    def guard(self, app: App) -> App:
        """Put the guards around an application, the outermost last."""
        guarded: App = Conversations(
            app,
            self.metrics,
            max_body_bytes=self.settings.max_body_bytes,
            max_concurrent=self.settings.max_concurrent,
        )
        if self.settings.cors_origins:
            guarded = CORSMiddleware(
                guarded,
                allow_origins=self.settings.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=("content-type", "x-request-id"),
            )
        return Edge(guarded, self.metrics)
