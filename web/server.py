"""The server: an ASGI app -> a listening uvicorn (uvloop, httptools) with a header deadline and a clean stop.

uvicorn holds a connection whose headers never end for ever, has no limit on their size, and waits for ever for a client
that takes nothing of its answer; `DeadlineProtocol` has deadlines and a limit. SIGTERM and Ctrl-C first call the
functions in `app.state.at_stop`, which end answers without end; other requests in flight end within `grace_s`, then
`serve` returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from web.problems import MEDIA_TYPE, Problem

MAX_HEADER_BYTES = 64 << 10
WRITE_S = 60.0


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's protocol; a connection whose headers take too long or too much is answered and closed, and one whose
    client takes nothing of its answer is cut off."""

    def __init__(self, *args: Any, header_timeout_s: float, write_timeout_s: float = WRITE_S, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._write_timeout_s = write_timeout_s
        self._write_timer: asyncio.TimerHandle | None = None
        self._header_timeout_s = header_timeout_s
        self._header_timer: asyncio.TimerHandle | None = None
        self._in_headers = True
        self._header_bytes = 0
        self._requests = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn's own does
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        was_in_headers, requests = self._in_headers, self._requests
        super().data_received(data)
        if self.transport.is_closing():
            return
        if was_in_headers and self._in_headers and self._requests == requests:
            self._header_bytes += len(data)
        if self._header_bytes > MAX_HEADER_BYTES:
            detail = f"headers are larger than {MAX_HEADER_BYTES} bytes: send fewer or shorter headers"
            self._refuse(Problem(431, "headers_too_large", detail))
        elif self.cycle is None or self.cycle.response_complete:
            self._start_timer()  # no request reads these bytes: headers, or the rest of an answered request

    def on_headers_complete(self) -> None:
        self._in_headers = False
        self._requests += 1
        self._header_bytes = 0
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_headers = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        detail = f"{msg[:1].lower()}{msg[1:].rstrip('.')}: send HTTP/1.1"
        self._refuse(Problem(400, "invalid_http", detail))

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self._write_timeout_s, self._on_late_write)

    def resume_writing(self) -> None:
        self._stop_write_timer()
        super().resume_writing()

    def _on_late_write(self) -> None:
        self._write_timer = None
        self.transport.abort()  # to close would first wait until the client takes what is left

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _start_timer(self) -> None:
        if self._header_timer is None:
            self._header_timer = self.loop.call_later(self._header_timeout_s, self._on_late_headers)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _on_late_headers(self) -> None:
        self._header_timer = None
        if self._header_bytes == 0:
            self.transport.close()  # idle, or still sending the body of an answered request
        elif not self.transport.is_closing():
            detail = f"headers did not arrive within the deadline of {self._header_timeout_s:g} s: send them at once"
            self._refuse(Problem(408, "headers_too_slow", detail))

    def _refuse(self, problem: Problem) -> None:
        """Answer in place of the app, which has not seen this request, and close."""
        self._stop_timer()
        body = bytes(problem.response().body)
        head = f"HTTP/1.1 {problem.status} {problem.body()['title']}\r\ncontent-type: {MEDIA_TYPE}\r\n"
        tail = f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + tail.encode() + body)
        self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server; after a stop signal `run` returns instead of raising the signal again."""

    def __init__(self, config: uvicorn.Config, on_listening: Callable[[int], None] | None = None) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and self._on_listening is not None:
            self._on_listening(self.port)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for stop in getattr(getattr(self.config.app, "state", None), "at_stop", ()):
            stop()
        await super().shutdown(sockets)

    @property
    def port(self) -> int:
        """The port in use, once started; the system has chosen it if port 0 was requested."""
        return int(self.servers[0].sockets[0].getsockname()[1])


def create_server(
    app: Any,
    host: str,
    port: int,
    *,
    header_timeout_s: float = 10.0,
    write_timeout_s: float = WRITE_S,
    grace_s: float = 5.0,
    on_listening: Callable[[int], None] | None = None,
) -> Server:
    """A server that has not started; `run()` blocks, `should_exit = True` from any thread stops it."""
    protocol = functools.partial(DeadlineProtocol, header_timeout_s=header_timeout_s, write_timeout_s=write_timeout_s)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        loop="uvloop",
        http=protocol,  # type: ignore[arg-type] # called as the class is
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=1024,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=max(1, round(grace_s)),
    )
    return Server(config, on_listening)


def serve(
    app: Any,
    host: str,
    port: int,
    *,
    header_timeout_s: float = 10.0,
    write_timeout_s: float = WRITE_S,
    grace_s: float = 5.0,
    on_listening: Callable[[int], None] | None = None,
) -> None:
    """Listen until SIGTERM or Ctrl-C. `on_listening` is called once with the port. Blocks; main thread.

    Raises:
        SystemExit: The port is not free, or the app did not start; the log has the reason.
    """
    create_server(
        app,
        host,
        port,
        header_timeout_s=header_timeout_s,
        write_timeout_s=write_timeout_s,
        grace_s=grace_s,
        on_listening=on_listening,
    ).run()
