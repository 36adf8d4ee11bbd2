"""A real server on a free port, in a thread of the test."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

from fastapi import FastAPI

from web.server import WRITE_S, create_server


@contextlib.contextmanager
def running(app: FastAPI, header_timeout_s: float = 10.0, write_timeout_s: float = WRITE_S) -> Iterator[str]:
    """Its base URL; stopped cleanly at the end."""
    listening = threading.Event()
    ports: list[int] = []

    def note(port: int) -> None:
        ports.append(port)
        listening.set()

    server = create_server(
        app,
        "127.0.0.1",
        0,
        header_timeout_s=header_timeout_s,
        write_timeout_s=write_timeout_s,
        grace_s=1,
        on_listening=note,
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        assert listening.wait(20), "the server did not start"
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the server did not stop"


def until_closed(connection: socket.socket, deadline_s: float = 20) -> bytes:
    """Everything the server sends until it closes."""
    connection.settimeout(deadline_s)
    got = b""
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        try:
            part = connection.recv(65536)
        except ConnectionResetError:
            return got
        if not part:
            return got
        got += part
    raise AssertionError("the server did not close")
