"""A scripted double of OpenSearch's bulk API: a list of answers, given one after the other; then all is taken."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[["Request"], "Reply"]


@dataclass(frozen=True)
class Request:
    path: str
    ids: list[str]  # of the documents, in the order of the request
    documents: list[Any]


@dataclass(frozen=True)
class Reply:
    """`cut`: so many bytes of it are sent, then the connection ends."""

    status: int
    body: Any
    cut: int = 0


@dataclass
class Double:
    url: str
    script: list[Answer]
    requests: list[Request] = field(default_factory=list)
    taken: dict[str, Any] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> Reply:
        with self.lock:
            self.requests.append(request)
            script = self.script.pop(0) if self.script else self.take
        return script(request)

    def take(self, request: Request) -> Reply:
        """Each document is created, or is there already."""
        return self.sorted_out(request, lambda _: None)

    def sorted_out(self, request: Request, refusal: Callable[[str], tuple[int, str] | None]) -> Reply:
        """Documents are taken but those for which `refusal` gives a status and a type."""
        items = []
        for name, document in zip(request.ids, request.documents, strict=True):
            refused = refusal(name) or ((409, "version_conflict_engine_exception") if name in self.taken else None)
            if refused:
                error = {"type": refused[1], "reason": f"refused {name}: read-only"}
                items.append({"create": {"_id": name, "status": refused[0], "error": error}})
            else:
                self.taken[name] = document
                items.append({"create": {"_id": name, "status": 201}})
        return Reply(200, {"errors": any("error" in item["create"] for item in items), "items": items})


def overloaded(_: Request) -> Reply:
    return Reply(
        429, {"error": {"type": "opensearch_rejected_execution_exception", "reason": "too much"}, "status": 429}
    )


def too_large(_: Request) -> Reply:
    return Reply(413, "")


def blocked(_: Request) -> Reply:
    reason = "index [x] blocked by: [TOO_MANY_REQUESTS/12/index read-only / allow delete (api)];"
    error = {"type": "cluster_block_exception", "reason": reason}
    return Reply(403, {"error": {"root_cause": [error]} | error, "status": 403})


@contextlib.contextmanager
def running(script: Sequence[Answer] = ()) -> Iterator[Double]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["content-length"]))
            lines = [json.loads(line) for line in text.splitlines()]
            ids = [line["create"]["_id"] for line in lines[::2]]
            reply = double.answer(Request(self.path, ids, lines[1::2]))
            body = json.dumps(reply.body).encode() if reply.body else b""
            self.send_response(reply.status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: reply.cut or len(body)])
            self.close_connection = bool(reply.cut)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        double = Double(f"opensearch://127.0.0.1:{server.server_port}", list(script))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield double
        finally:
            server.shutdown()
            thread.join()
