"""Telemetry of requests: ASGI messages -> request id, one log line, two Prometheus series; and `GET /metrics`."""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from contracts.own_logs import event
from web.problems import unexpected

_ID = re.compile(r"[A-Za-z0-9._:@/+=-]{1,128}\Z")
_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_QUIET = frozenset({"/health/live", "/health/ready", "/metrics"})

log = logging.getLogger("headwater.web")

router = APIRouter(tags=["health"])


@router.get("/metrics", summary="Prometheus text", response_class=Response)
async def metrics(request: Request) -> Response:
    return Response(generate_latest(registry_of(request.app)), media_type=_TEXT)


def registry_of(app: FastAPI) -> CollectorRegistry:
    """The registry for the metrics of `app`."""
    registry: CollectorRegistry = app.state.registry
    return registry


class Telemetry:
    """ASGI middleware around the whole app; it also logs an unexpected exception and answers 500."""

    def __init__(self, app: ASGIApp, registry: CollectorRegistry) -> None:
        self.app = app
        self._requests = Counter(
            "headwater_http_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self._seconds = Histogram(
            "headwater_http_request_seconds", "Time from headers to last byte.", ["route", "method"], registry=registry
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request_id = request_id_of(Headers(scope=scope))
        scope.setdefault("state", {})["request_id"] = request_id
        began = time.perf_counter()
        status = 0

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception:
            fields = {"request_id": request_id, "path": scope["path"][:200]}
            event(log, logging.ERROR, "unexpected_error", fields, exception=True)
            if status == 0:
                await unexpected().response()(scope, receive, watch)
        finally:
            self._note(scope, status, time.perf_counter() - began, request_id)

    def _note(self, scope: Scope, status: int, seconds: float, request_id: str) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(seconds)
        line: dict[str, Any] = {
            "method": method,
            "path": scope["path"][:200],
            "status": status,
            "ms": round(seconds * 1000, 2),
            "request_id": request_id,
            "tenant": scope["state"].get("tenant", ""),
            **scope["state"].get("log", {}),
        }
        event(log, logging.DEBUG if scope["path"] in _QUIET else logging.INFO, "request", line)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def request_id_of(headers: Headers) -> str:
    """The client's `X-Request-Id` if it has 1-128 safe characters, otherwise a new id."""
    given = headers.get("x-request-id", "")
    return given if _ID.match(given) else secrets.token_hex(16)
