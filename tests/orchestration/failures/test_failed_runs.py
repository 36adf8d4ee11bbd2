from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import bus
from contracts.errors import BusError, ConfigError
from contracts.messages import Kind, from_headers
from contracts.settings import Settings
from headwater.supervision.batch_metrics import BatchFailures
from orchestration.definitions import defs
from orchestration.failures import alerts, webhook
from orchestration.failures.alerts import tell_untold
from orchestration.failures.failed_runs import Failure, failure_counts, tell
from orchestration.failures.webhook import checked_webhook
from orchestration.resources import Upkeep

AT_NS = 1_800_000_000 * 10**9
FAILURE = Failure(
    "run-1", "closed_day", "2026-03-04", "logs_compacted", "disk full", "http://127.0.0.1:3070/runs/run-1", AT_NS
)


class Hook:
    """A web server that is busy for the first `refusals` posts; `refuses` is the status for a body, 0 takes it."""

    def __init__(
        self, refusals: int = 0, retry_after: str = "", refuses: Callable[[dict[str, Any]], int] = lambda _: 0
    ) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.refusals, self.retry_after, self.refuses = refusals, retry_after, refuses


@contextlib.contextmanager
def served(hook: Hook) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = 503 if hook.refusals > 0 else hook.refuses(body)
            hook.refusals -= 1
            if not status:
                hook.bodies.append(body)
            self.send_response(status or 204)
            if status and hook.retry_after:
                self.send_header("Retry-After", hook.retry_after)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...  # noqa: A002  (as the library names it)

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook"
        server.shutdown()


def upkeep(folder: Path, url: str = "") -> Upkeep:
    values = {"data_dir": str(folder), "alert_webhook_url": url}
    return Upkeep(overrides=values, clock_ns=AT_NS + 10**9)


def go_away(patch: pytest.MonkeyPatch) -> None:
    def away(url: str, settings: Settings) -> None:
        raise BusError("the bus is away")

    patch.setattr(bus, "open_bus", away)


def start_anew() -> None:
    """As another process would begin: it knows what the file has."""
    alerts._books.clear()


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
        assert tell(FAILURE, upkeep(tmp_path, url))
    producer, event = events(upkeep(tmp_path).settings())[0]
    assert producer == "key:pipeline.failure:run-1"
    assert event["name"] == "pipeline.failure"
    assert event["body"] == "closed_day of 2026-03-04 failed: disk full"
    assert hook.bodies == [{"event": "pipeline.failure", **asdict(FAILURE)}]
    assert failure_counts(tmp_path) == {"closed_day": 1}
    samples = [sample for family in BatchFailures(tmp_path).collect() for sample in family.samples]
    assert [(sample.name, sample.value) for sample in samples if sample.value] == [
        ("headwater_pipeline_failures_total", 1)
    ]


def test_a_run_that_is_told_twice_is_one_event_one_count_and_one_post(tmp_path: Path) -> None:
    hook = Hook()
    with served(hook) as url:
        assert [tell(FAILURE, upkeep(tmp_path, url)), tell(FAILURE, upkeep(tmp_path, url))] == [True, False]
        start_anew()
        assert not tell(FAILURE, upkeep(tmp_path, url))
    assert len(events(upkeep(tmp_path).settings())) == 1
    assert failure_counts(tmp_path) == {"closed_day": 1}
    assert len(hook.bodies) == 1


def test_a_run_that_fails_while_the_bus_is_away_is_counted_and_posted_and_its_event_follows_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @dg.op
    def compact() -> None:
        raise OSError("disk full")

    @dg.job
    def closed_day() -> None:
        compact()

    hook = Hook()
    repository = defs.get_repository_def()
    with served(hook) as url, dg.DagsterInstance.ephemeral() as instance:
        run = closed_day.execute_in_process(instance=instance, raise_on_error=False).run_id
        resource = upkeep(tmp_path, url)
        cursor = json.dumps({"__class__": "RunStatusSensorCursor", "record_id": -1})
        context = dg.build_sensor_context(
            instance=instance, cursor=cursor, repository_def=repository, resources={"upkeep": resource}
        )
        with monkeypatch.context() as patch:
            go_away(patch)
            passed = repository.get_sensor_def("pipeline_failure").evaluate_tick(context)
            assert passed.cursor != cursor, "the sensor will not ask for this run again"
            assert tell_untold(resource) == 0
        assert events(resource.settings()) == []
        assert [body["run_id"] for body in hook.bodies] == [run]
        assert failure_counts(tmp_path) == {"closed_day": 1}
        start_anew()
        assert [tell_untold(resource) for _ in range(3)] == [1, 0, 0]
    assert [event["attributes"]["run_id"] for _, event in events(resource.settings())] == [run]
    assert len(hook.bodies) == 1
    assert failure_counts(tmp_path) == {"closed_day": 1}


def test_while_neither_the_file_nor_the_bus_can_be_written_a_failure_is_posted_once_and_told_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = Hook()
    (tmp_path / "dagster").write_text("stands where the folder should be")
    with served(hook) as url:
        resource = upkeep(tmp_path, url)
        with monkeypatch.context() as patch:
            go_away(patch)
            assert [tell(FAILURE, resource), tell(FAILURE, resource)] == [True, False]
            assert tell_untold(resource) == 0
        assert len(hook.bodies) == 1
        (tmp_path / "dagster").unlink()
        assert [tell_untold(resource), tell_untold(resource)] == [1, 0]
    start_anew()
    assert not tell(FAILURE, upkeep(tmp_path))
    assert failure_counts(tmp_path) == {"closed_day": 1}
    assert len(events(resource.settings())) == 1
    assert len(hook.bodies) == 1


def test_a_webhook_that_refuses_is_asked_again_and_one_that_is_away_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "PAUSE_S", 0.01)
    hook = Hook(refusals=1)
    with served(hook) as url:
        assert tell(FAILURE, upkeep(tmp_path / "a", url))
    assert len(hook.bodies) == 1
    for name, address in {"b": url, "c": "http://host:abc/"}.items():
        assert tell(FAILURE, upkeep(tmp_path / name, address))
        assert len(events(upkeep(tmp_path / name).settings())) == 1


@pytest.mark.parametrize(
    "url", ["ftp://host/x", "file:///etc/passwd", "https://", "host", "http://h:abc/", "http://h:99999/", "http://[h/"]
)
def test_a_webhook_that_is_no_web_address_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="no http or https URL"):
        checked_webhook(url)
