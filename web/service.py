"""A service: title and settings -> a FastAPI app with problems, health, metrics, JSON logs and a plain /docs page."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Protocol

import anyio
from fastapi import FastAPI, Request
from prometheus_client import CollectorRegistry
from starlette.responses import HTMLResponse

from contracts import own_logs
from contracts.settings import Settings
from web import docs_page, health, problems, telemetry
from web.keys import KeyFile


class Closable(Protocol):
    def close(self) -> None: ...


def create_service(title: str, settings: Settings) -> FastAPI:
    """An app to which rooms add their routes. `app.state` holds `settings`, `keys`, `registry`."""
    own_logs.configure(settings.log_level, only={"uvicorn": logging.WARNING, "headwater": logging.DEBUG})
    app = FastAPI(title=title, version="0.1.0", docs_url=None, redoc_url=None)
    app.state.settings = settings
    app.state.keys = KeyFile(settings.keys_file)
    app.state.registry = CollectorRegistry()
    app.state.checks = {}
    app.state.at_stop = []  # functions without arguments, called when the server is told to stop
    app.state.check_threads = anyio.CapacityLimiter(health.CHECK_THREADS)
    problems.install(app)
    app.include_router(health.router)
    app.include_router(telemetry.router)
    app.add_api_route("/docs", _docs, include_in_schema=False, response_class=HTMLResponse)
    app.add_middleware(telemetry.Telemetry, registry=app.state.registry)
    return app


def close_at_end(app: FastAPI, *opened: Closable) -> None:
    """Close the resources `opened`, in this order, when `app` stops."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            for each in opened:
                each.close()

    app.router.lifespan_context = lifespan


async def _docs(request: Request) -> HTMLResponse:
    return HTMLResponse(docs_page.page(request.app.openapi()))
