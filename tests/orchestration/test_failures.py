from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

import bus
from contracts.errors import ConfigError
from contracts.messages import Kind, from_headers
from contracts.settings import Settings, load_settings
from headwater.batch_metrics import BatchFailures
from orchestration.failures import Failure, checked_webhook, failure_counts, tell

AT_NS = 1_800_000_000 * 10**9
FAILURE = Failure(
    "run-1", "closed_day", "2026-03-04", "logs_compacted", "disk full", "http://127.0.0.1:3070/runs/run-1", AT_NS
)


class Hook:
    """A web server that refuses the first `refusals` posts."""

    def __init__(self, refusals: int = 0) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.refusals = refusals


@contextlib.contextmanager
def served(hook: Hook) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            refused = hook.refusals > 0
            hook.refusals -= 1
            if not refused:
                hook.bodies.append(body)
            self.send_response(503 if refused else 204)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  (as the library names it)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


def told(settings: Settings, failure: Failure = FAILURE) -> bool:
    with contextlib.closing(bus.open_bus(settings.bus, settings)) as queue:
        return tell(failure, settings, queue, AT_NS + 10**9)


def events(settings: Settings) -> list[tuple[str, dict[str, Any]]]:
    found = []
    with contextlib.closing(bus.open_bus(settings.bus, settings)) as queue:
        for partition in queue.partitions(Kind.EVENTS.topic):
            with contextlib.closing(queue.reader(Kind.EVENTS.topic, partition, 0)) as reader:
                for message in reader.poll(100):
                    header = from_headers(message.headers)
                    assert header is not None
                    found.append((header.producer, json.loads(message.payload)))
    return found


def test_a_failed_run_becomes_an_event_a_count_and_a_post(tmp_path: Path) -> None:
    hook = Hook()
    with served(hook) as url:
        settings = load_settings(_env_file=None, data_dir=tmp_path, alert_webhook_url=url)
        assert told(settings)
    producer, event = events(settings)[0]
    assert producer == "key:pipeline.failure:run-1"
    assert event["name"] == "pipeline.failure"
    assert event["body"] == "closed_day of 2026-03-04 failed: disk full"
    assert hook.bodies[0]["reason"] == "disk full"
    assert failure_counts(tmp_path) == {"closed_day": 1}
    assert [sample.value for family in BatchFailures(tmp_path).collect() for sample in family.samples] == [1]


def test_a_run_that_is_told_twice_is_one_event_one_count_and_one_post(tmp_path: Path) -> None:
    hook = Hook()
    with served(hook) as url:
        settings = load_settings(_env_file=None, data_dir=tmp_path, alert_webhook_url=url)
        assert [told(settings), told(settings)] == [True, False]
    assert len({producer for producer, _ in events(settings)}) == 1
    assert failure_counts(tmp_path) == {"closed_day": 1}
    assert len(hook.bodies) == 1


def test_a_webhook_that_refuses_is_asked_again_and_one_that_is_away_fails_nothing(tmp_path: Path) -> None:
    hook = Hook(refusals=1)
    with served(hook) as url:
        assert told(load_settings(_env_file=None, data_dir=tmp_path / "a", alert_webhook_url=url))
    assert len(hook.bodies) == 1
    assert told(load_settings(_env_file=None, data_dir=tmp_path / "b", alert_webhook_url=url))


@pytest.mark.parametrize("url", ["ftp://host/x", "file:///etc/passwd", "https://", "host"])
def test_a_webhook_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="no http or https URL"):
        checked_webhook(url)
