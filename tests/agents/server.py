"""A small real ingestion service that records requests and can misbehave."""

from __future__ import annotations

import gzip
import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import zstandard


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    lines: list[bytes]

    @property
    def epoch(self) -> int:
        return int(self.headers["x-headwater-epoch"])

    @property
    def sequence(self) -> int:
        return int(self.headers["x-headwater-sequence"])

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def bodies(self) -> list[str]:
        return [record["body"] for record in self.records()]


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer. `cut` closes the connection without an answer; `store`: whether the records count as taken."""

    status: int = 202
    body: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    store: bool = True


Behaviour = Callable[[Request, int], Reply]


def well_behaved(request: Request, _number: int) -> Reply:
    return Reply(body={"accepted": len(request.lines), "rejected": [], "duplicate": False})


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # a killed agent resets its connection: expected here
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # passed on as it came


class Sink:
    """Serves on a free port of 127.0.0.1. `behaviour(request, number)` decides; `taken` holds what it stored."""

    def __init__(self, behaviour: Behaviour = well_behaved) -> None:
        self.behaviour = behaviour
        self.requests: list[Request] = []
        self.taken: list[Request] = []
        self.connections = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def by_sequence(self) -> dict[tuple[int, int], dict[str, Any]]:
        """Records by (epoch, sequence), the first one seen of each; repeats must be the same record."""
        found: dict[tuple[int, int], dict[str, Any]] = {}
        with self._lock:
            taken = list(self.taken)
        for request in taken:
            for index, record in enumerate(request.records()):
                key = (request.epoch, request.sequence + index)
                assert found.setdefault(key, record) == record, f"{key} stands for two records"
        return found

    def bodies(self) -> list[str]:
        """Bodies in order of (epoch, sequence), repeats dropped."""
        return [record["body"] for _, record in sorted(self.by_sequence().items(), key=lambda item: item[0])]

    def answer(self, request: Request) -> Reply:
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
        reply = self.behaviour(request, number)
        if reply.store and (reply.cut or reply.status < 300):
            with self._lock:
                self.taken.append(request)
        return reply

    def _handler(sink) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - the handler's own self stands inside
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                sink.connections += 1

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                lines = decoded(data, headers.get("content-encoding", "")).splitlines()
                reply = sink.answer(Request(self.path, headers, lines))
                if reply.cut:
                    self.close_connection = True
                    self.connection.close()
                    return
                body = json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in {**reply.headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature of http.server
                pass

            def finish(self) -> None:
                try:
                    super().finish()
                except (OSError, ValueError):
                    self.close_connection = True

        return Handler


def decoded(data: bytes, encoding: str) -> bytes:
    if encoding == "zstd":
        return zstandard.ZstdDecompressor().decompress(data)
    return gzip.decompress(data) if encoding == "gzip" else data
