"""A scripted double in front of a real S3 server: requests -> passed on, delayed, refused, or answered with silence."""

from __future__ import annotations

import http.client
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request.

    Attributes:
        status: Answer with it instead of asking the server; 0 asks.
        code: Of S3's errors, in that answer.
        heard: Let the server do the work first; the client is not told what came of it.
        cut: Close the connection instead of answering.
        delay_s: Wait before anything.
        silent_s: Wait before the answer, when the work is done.
    """

    status: int = 0
    code: str = "SlowDown"
    heard: bool = False
    cut: bool = False
    delay_s: float = 0.0
    silent_s: float = 0.0


Script = Callable[[str, str], Fault | None]


class FaultyS3:
    """Listens on a free loopback port. `script(method, path)` decides about each request; None passes it on."""

    def __init__(self, target: str, trust: ssl.SSLContext | None = None) -> None:
        """`trust` makes it speak TLS."""
        parts = urlsplit(target)
        self.script: Script = lambda method, path: None
        self.seen: list[tuple[str, str]] = []
        handler = type("Handler", (_Handler,), {"owner": self, "host": parts.hostname, "port": parts.port})
        self._server = _Server(("127.0.0.1", 0), handler)
        if trust is not None:
            self._server.socket = trust.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if trust else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def commits(self) -> list[str]:
        """Paths of the commits that clients have tried."""
        return [path for method, path in self.seen if is_commit(method, path)]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that did not wait is no error."""


def _error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>Scripted.</Message></Error>'.encode()


def is_commit(method: str, path: str) -> bool:
    return method == "PUT" and "/_delta_log/" in path and path.endswith(".json")


def once(matches: Callable[[str, str], bool], fault: Fault) -> Script:
    """Do it to the first request that matches."""
    left = [fault]

    def script(method: str, path: str) -> Fault | None:
        return left.pop() if left and matches(method, path) else None

    return script


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # an answer in one piece: in two, the second waits for the client's delayed acknowledgement
    owner: FaultyS3
    host: str
    port: int

    def do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.owner.seen.append((self.command, self.path if self.command == "GET" else path))
        fault = self.owner.script(self.command, path) or Fault()
        time.sleep(fault.delay_s)
        answer = fault.status, [("Content-Type", "application/xml")], _error(fault.code)
        if fault.heard or not (fault.status or fault.cut):
            real = self._ask(body)
            answer = answer if fault.status else real
        time.sleep(fault.silent_s)
        if fault.cut:
            self.close_connection = True
        else:
            self._answer(*answer)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = do  # noqa: N815  (the library's names)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        upstream = http.client.HTTPConnection(self.host, self.port, timeout=30)
        try:
            upstream.request(self.command, self.path, body, dict(self.headers.items()))
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except OSError:
            return 502, [], b""
        finally:
            upstream.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], answer: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), str(len(answer)))
        self.send_header("Content-Length", length if self.command == "HEAD" else str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's name)
        pass
