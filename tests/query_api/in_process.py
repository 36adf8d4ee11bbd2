"""An httpx client whose requests go straight into an ASGI app of this process; no socket, real thread pool."""

from __future__ import annotations

from collections.abc import Mapping

import anyio.from_thread
import httpx
from fastapi import FastAPI


class InProcess(httpx.BaseTransport):
    """One event loop in a thread of its own, until closed."""

    def __init__(self, app: FastAPI) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        self._loop = anyio.from_thread.start_blocking_portal()
        self._portal = self._loop.__enter__()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        async def answered() -> httpx.Response:
            response = await self._transport.handle_async_request(request)
            return httpx.Response(response.status_code, headers=response.headers, content=await response.aread())

        return self._portal.call(answered)

    def close(self) -> None:
        self._loop.__exit__(None, None, None)


def client_of(app: FastAPI, headers: Mapping[str, str]) -> httpx.Client:
    return httpx.Client(transport=InProcess(app), base_url="http://in-process", headers=headers)
