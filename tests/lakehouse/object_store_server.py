"""A small S3 server in memory that keeps or breaks the promise of `If-None-Match`; signatures are not read."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ATOMIC, LOOKS_FIRST, IGNORES, OVERWRITES, BUSY = "atomic", "looks first", "ignores", "overwrites", "busy"
DENIES = "denies"  # everything


class MemoryS3(ThreadingHTTPServer):
    """`manner` is how it treats a conditional PUT; `objects` is what it holds, by path; `ahead_s` is of its clock."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, manner: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.manner = manner
        self.objects: dict[str, bytes] = {}
        self.puts = 0
        self.ahead_s = 0.0
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def put(self, path: str, body: bytes, conditional: bool) -> int:
        with self.lock:
            self.puts += 1
            taken = conditional and path in self.objects
            if conditional and self.manner == BUSY:
                return 503
            if taken and self.manner == OVERWRITES:
                self.objects[path] = body
            if taken and self.manner != IGNORES:
                return 412
            if self.manner != LOOKS_FIRST:
                self.objects[path] = body
                return 200
        time.sleep(0.001)  # what another server does between its look and its write
        self.objects[path] = body
        return 200


class _Handler(BaseHTTPRequestHandler):
    server: MemoryS3
    server_version, sys_version = "MemoryS3", ""

    def do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path, status, answer = self.path.partition("?")[0], 200, b""
        if self.server.manner == DENIES:
            status, answer = 403, b"<Error><Code>AccessDenied</Code><Message>Access Denied.</Message></Error>"
        elif self.command == "PUT":
            status = self.server.put(path, body, "If-None-Match" in self.headers)
        elif self.command == "GET":
            listing = b"<ListBucketResult><KeyCount>0</KeyCount></ListBucketResult>"
            answer = listing if "list-type=2" in self.path else self.server.objects[path]
        elif self.command == "DELETE":
            status = 204
            self.server.objects.pop(path, None)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def date_time_string(self, timestamp: float | None = None) -> str:
        return super().date_time_string((time.time() if timestamp is None else timestamp) + self.server.ahead_s)

    do_GET = do_PUT = do_DELETE = do_HEAD = do  # noqa: N815  (the library's names)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the library's name)
        pass


@contextlib.contextmanager
def serving(manner: str) -> Iterator[MemoryS3]:
    with MemoryS3(manner) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
