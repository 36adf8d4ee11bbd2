"""Server-sent events: chunks of bytes -> a response that ends with the last chunk, or when the client disconnects.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

import anyio
import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

MEDIA_TYPE = "text/event-stream"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # the second is for nginx


class EventStream(Response):
    """Closes `chunks` when the client goes away, at once."""

    media_type = MEDIA_TYPE

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._chunks = chunks

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._chunks), anyio.create_task_group() as group:
            group.start_soon(_end_with_client, receive, group.cancel_scope)
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            async for chunk in self._chunks:
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            group.cancel_scope.cancel()


async def _end_with_client(receive: Receive, scope: anyio.CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    scope.cancel()


def event(name: str, data: object, event_id: bytes = b"") -> bytes:
    """One event; "" is the name of a plain message."""
    return told(name, msgspec.json.encode(data), event_id)


def told(name: str, data: bytes, event_id: bytes = b"") -> bytes:
    """As `event`, for data that is JSON text already, without a line break."""
    head = b"event: %b\n" % name.encode() if name else b""
    number = b"id: %b\n" % event_id if event_id else b""
    return b"%b%bdata: %b\n\n" % (head, number, data)


def heartbeat(event_id: bytes = b"") -> bytes:
    """A comment, not an event: it keeps the connection alive and can update the client's last id."""
    return b": \nid: %b\n\n" % event_id if event_id else b": \n\n"
