"""Faults of engines that cannot be provoked on real ones (those: `tests/real/test_doctor.py`), told by doubles."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from headwater.doctor.verdict import Level, fail, ok, together, warn
from tests.headwater.processes import headwater
from tests.lakehouse.object_store_server import ATOMIC, DENIES, serving

ELASTIC = {"version": {"number": "8.15.0", "build_flavor": "default"}, "tagline": "You Know, for Search"}
OLD = {"version": {"distribution": "opensearch", "number": "1.3.20"}}
REFUSED = {"error": {"type": "security_exception", "reason": "no credentials"}, "status": 401}


@contextlib.contextmanager
def answering(status: int, body: Any) -> Iterator[str]:
    """host:port of a server that says the same to every question."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def doctor(folder: Path, check: str, env: dict[str, str]) -> tuple[str, str, str]:
    """Level, finding and advice."""
    done = headwater(folder, "doctor", "--json", "--port", "0", env=env)
    found = json.loads(done.stdout)[check]
    return found["level"], found["finding"], found["advice"]


@pytest.mark.parametrize(
    ("status", "body", "found", "advice"),
    [
        (200, ELASTIC, "elasticsearch (version 8.15.0)", "HEADWATER_HOT_URL at OpenSearch 2.7"),
        (200, OLD, "OpenSearch 1.3.20 is too old", "OpenSearch 2.7 or newer"),
        (200, [], "something else", "HEADWATER_HOT_URL"),
        (401, REFUSED, "401 security_exception", "HEADWATER_OPENSEARCH_PASSWORD"),
    ],
    ids=["elasticsearch", "old", "neither", "password"],
)
def test_what_answers_in_place_of_an_opensearch_that_can_be_used_is_named(
    status: int, body: Any, found: str, advice: str, tmp_path: Path
) -> None:
    with answering(status, body) as place:
        told = doctor(tmp_path, "hot store", {"HEADWATER_HOT_URL": f"opensearch://{place}"})
    assert told[0] == "fail"
    assert found in told[1]
    assert advice in told[2]


def test_up_refuses_another_product_at_once(tmp_path: Path) -> None:
    with answering(200, ELASTIC) as place:
        done = headwater(tmp_path, "up", "--port", "0", env={"HEADWATER_HOT_URL": f"opensearch://{place}"})
    assert done.returncode == 2
    assert "elasticsearch 8.15.0 answers" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("name", "url"),
    [("BUS", "kafka://a b:9092"), ("HOT", "opensearch://user:secret@host:9200"), ("LAKE", "ftp://bucket/lake")],
)
def test_up_refuses_a_url_that_cannot_work_and_names_its_setting(name: str, url: str, tmp_path: Path) -> None:
    done = headwater(tmp_path, "up", "--port", "0", env={f"HEADWATER_{name}_URL": url})
    assert done.returncode == 2
    assert "HEADWATER_" in done.stderr
    assert "secret@" not in done.stderr


def names(url: str) -> dict[str, str]:
    keys = {"HEADWATER_S3_ACCESS_KEY": "a", "HEADWATER_S3_SECRET_KEY": "b"}
    return {"HEADWATER_LAKE_URL": "s3://bucket/lake", "HEADWATER_S3_ENDPOINT": url, **keys}


def test_denied_access_is_named_with_the_rights_that_are_needed(tmp_path: Path) -> None:
    with serving(DENIES) as server:
        level, found, advice = doctor(tmp_path, "lake", names(server.url))
    assert level == "fail"
    assert "denies access" in found
    assert "list the bucket, and read, write and delete" in advice


def test_a_clock_that_differs_from_the_servers_is_measured(tmp_path: Path) -> None:
    from lakehouse.s3.check import look
    from lakehouse.s3.store import object_store
    from tests.settings import settings

    with serving(ATOMIC) as server:
        server.ahead_s = 600
        given = settings(data_dir=tmp_path, s3_endpoint=server.url, s3_access_key="a", s3_secret_key="b")
        store = object_store("s3://bucket/lake", given)
        assert store
        skew_s = look(store, keys=4).skew_s
    assert skew_s is not None
    assert abs(skew_s + 600) < 30


def test_several_findings_are_told_together_the_worst_first() -> None:
    both = together([warn("slow", "wait"), fail("away", "start it"), warn("odd", "wait")], "fine")
    assert (both.level, both.finding, both.advice) == (Level.FAIL, "away; slow; odd", "start it; wait")
    assert together([], "fine") == ok("fine")
