"""Tables below one URL: whether one exists."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import StoreError
from lakehouse.delta.table import Delta
from lakehouse.delta.tables import Tables, exists
from lakehouse.lake.erasure_requests import Tombstones
from tests.settings import settings

EMPTY = b'<?xml version="1.0"?><ListBucketResult><Name>b</Name><IsTruncated>false</IsTruncated></ListBucketResult>'


class _Empty(BaseHTTPRequestHandler):
    """An empty bucket."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        is_list = "list-type" in self.path
        self.send_response(200 if is_list else 404)
        self.send_header("Content-Length", str(len(EMPTY) if is_list else 0))
        self.end_headers()
        self.wfile.write(EMPTY if is_list and self.command == "GET" else b"")

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *arguments: Any) -> None:
        pass


@contextmanager
def empty_bucket() -> Iterator[dict[str, Any]]:
    """Settings of an S3 server that is a thread of this process: a call that holds the interpreter gets no answer."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Empty) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            yield {"s3_endpoint": url, "s3_access_key": "k", "s3_secret_key": "s", "s3_query_timeout_s": 1}
        finally:
            server.shutdown()


def test_other_threads_run_while_a_table_is_looked_for_on_s3() -> None:
    with empty_bucket() as given:
        assert not Tables("s3://b/lake", settings(**given)).has("logs")


def test_other_threads_run_while_erasures_are_looked_for_on_s3() -> None:
    with empty_bucket() as given:
        assert Tombstones("s3://b/lake", settings(**given)).unfinished() == []


def test_a_table_exists_once_it_was_made(tmp_path: Path) -> None:
    (tmp_path / "lake" / "events").mkdir(parents=True)
    url = f"{tmp_path}/lake"

    assert [exists(url, name) for name in ("logs", "events")] == [False, False]

    Delta(url, "logs")

    assert [exists(url, name) for name in ("logs", "events")] == [True, False]


def test_a_table_with_a_damaged_log_is_not_taken_for_a_missing_one(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "_delta_log"
    log.mkdir(parents=True)
    (log / f"{0:020}.json").write_text("")

    with pytest.raises(StoreError, match='table "logs" cannot be looked for'):
        exists(str(tmp_path), "logs")
