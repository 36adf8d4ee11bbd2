"""The breaker around the bus: by itself with a clock of the test's own, in a service, and in a real process."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from bus import open_bus
from contracts.bus import Bus, Extent, Reader
from contracts.errors import BusError, BusFull, OutcomeUnknown, TooLarge
from contracts.messages import Message
from contracts.settings import load_settings
from contracts.tenants import Role, tenant_named
from ingestion_api import app as ingestion
from ingestion_api.breaker import GuardedBus
from ingestion_api.counters import Counters
from tests.ingestion_api.conftest import Service
from tests.ingestion_api.test_failures import program
from tests.waiting import until
from tests.web.running import running
from web.keys import create_key
from web.problems import Problem
from web.service import create_service

DOWN = BusError("the broker is away")


class ScriptedBus:
    """A bus that does what it is told: `failure` is raised, `gate` is waited for, for `timeout_s` at most."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.readable = True
        self.appends = 0
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()

    def append(
        self, topic: str, key: str, messages: Sequence[Message], timeout_s: float | None = None
    ) -> Sequence[int]:
        if not messages:
            return ()
        with self._lock:
            self.appends += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if not self.gate.wait(timeout_s):
                raise OutcomeUnknown("no answer in time")
        finally:
            with self._lock:
                self._at_once -= 1
        if self.failure is not None:
            raise self.failure
        return [0]

    def extents(self, topic: str) -> Mapping[int, Extent]:
        if not self.readable:
            raise BusError("cannot be read", hint="look at the broker")
        return {0: Extent(0, 0)}

    def partitions(self, topic: str) -> Sequence[int]:
        return [0]

    def partition_for(self, topic: str, key: str) -> int:
        return 0

    def reader(self, topic: str, partition: int, offset: int) -> Reader:
        raise NotImplementedError

    def identity(self, topic: str) -> str:
        return topic

    def trim(self, topic: str, consumed: Mapping[int, int]) -> int:
        return 0

    def size_bytes(self) -> int:
        return 0

    def close(self) -> None:
        pass


class Guard:
    """A breaker of 3 failures and 10 s, around a scripted bus; `now` is its clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.bus = ScriptedBus()
        self.registry = CollectorRegistry()
        settings = load_settings(_env_file=None, ingest_breaker_failures=3, ingest_breaker_open_s=10)
        self.guarded = GuardedBus(self.bus, settings, Counters(self.registry), lambda: self.now)

    def append(self, failure: Exception | None = None, timeout_s: float = 5) -> str:
        """ "stored", "refused" without asking the bus, or the name of the bus's error."""
        self.bus.failure = failure
        try:
            self.guarded.append("logs.raw", "k", [Message(b"x")], timeout_s)
        except Problem as problem:
            return "refused" if problem.code == "bus_unavailable" and "Retry-After" in problem.headers else "?"
        except Exception as error:
            return type(error).__name__
        return "stored"

    def appends(self, *failures: Exception | None) -> list[str]:
        return [self.append(failure) for failure in failures]

    def metrics(self) -> dict[str, float]:
        return metrics_in(generate_latest(self.registry).decode())


def metrics_in(text: str) -> dict[str, float]:
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        if "breaker" in name or "append_failures" in name
    }


@pytest.fixture
def guard() -> Guard:
    return Guard()


def test_failures_in_a_row_open_it_and_then_the_bus_is_left_alone(guard: Guard) -> None:
    assert guard.appends(DOWN, OutcomeUnknown("late"), BusFull("no room")) == ["BusError", "OutcomeUnknown", "BusFull"]
    assert guard.appends(None, DOWN, None) == ["refused"] * 3
    assert guard.bus.appends == 3
    with pytest.raises(Problem) as caught:
        guard.guarded.check("logs.raw")
    assert "no room" in caught.value.detail
    assert caught.value.headers["Retry-After"] == "10"
    assert "no room" in guard.guarded.reason()


def test_a_topic_that_fails_leaves_the_others_alone(guard: Guard) -> None:
    guard.append()
    guard.bus.failure = DOWN
    for _ in range(3):
        with pytest.raises(BusError):
            guard.guarded.append("events.raw", "k", [Message(b"x")], 5)
    with pytest.raises(Problem):
        guard.guarded.check("events.raw")

    assert guard.append() == "stored"
    assert guard.guarded.reason() == ""
    assert guard.metrics()['headwater_ingest_breaker{headwater_ingest_breaker="open",topic="events.raw"}'] == 1


def test_a_message_that_is_too_large_says_nothing_against_the_bus(guard: Guard) -> None:
    assert guard.appends(*[TooLarge("too large")] * 5, None) == ["TooLarge"] * 5 + ["stored"]


def test_a_record_that_no_topic_takes_is_413_so_that_nobody_sends_it_for_ever(tmp_path: Path) -> None:
    bus = ScriptedBus()
    bus.failure = TooLarge("a message is larger than topic allows")
    with serving(tmp_path, bus) as service:
        answer = service.post(b'{"body":"x"}')
    assert (answer.status_code, answer.json()["code"]) == (413, "message_too_large")


def test_a_success_in_between_starts_the_count_again(guard: Guard) -> None:
    guard.appends(DOWN, DOWN, None, DOWN, DOWN)
    assert guard.append() == "stored"
    assert guard.guarded.reason() == ""


def test_after_the_pause_one_is_tried_and_when_it_works_all_go_through(guard: Guard) -> None:
    guard.appends(DOWN, DOWN, DOWN)
    guard.now += 9.9
    assert guard.append() == "refused"
    guard.now += 0.2
    guard.guarded.check("logs.raw")
    assert guard.guarded.reason() == "", "or nobody would send the one that is tried"
    assert guard.appends(None, None, DOWN, DOWN) == ["stored", "stored", "BusError", "BusError"]
    assert guard.append() == "stored", "the count began again at 0"


def test_when_the_one_that_is_tried_fails_it_is_open_for_another_pause(guard: Guard) -> None:
    guard.appends(DOWN, DOWN, DOWN)
    for _ in range(3):
        guard.now += 10.1
        assert guard.appends(OutcomeUnknown("late"), None) == ["OutcomeUnknown", "refused"]
    guard.now += 10.1
    assert guard.append() == "stored"


def test_the_one_that_is_tried_is_not_sent_while_the_bus_does_not_answer(guard: Guard) -> None:
    guard.appends(DOWN, DOWN, DOWN)
    guard.now += 10.1
    guard.bus.readable = False
    assert guard.appends(None, None) == ["BusError", "refused"]
    assert guard.bus.appends == 3
    guard.now += 10.1
    guard.bus.readable = True
    assert guard.append() == "stored"


def test_an_error_that_the_adapter_did_not_foresee_counts_too(guard: Guard) -> None:
    guard.appends(ValueError("odd"), ValueError(), ValueError("odd"))
    assert guard.append() == "refused"
    guard.now += 10.1
    assert guard.appends(ValueError("odd"), None) == ["ValueError", "refused"]


def test_of_many_at_once_exactly_one_is_tried(guard: Guard) -> None:
    guard.appends(DOWN, DOWN, DOWN)
    guard.now += 10.1
    guard.bus.gate.clear()
    with ThreadPoolExecutor(20) as pool:
        tries = [pool.submit(guard.append, None, 20.0) for _ in range(20)]
        until(lambda: sum(each.done() for each in tries) == 19)
        assert "a trial request is running" in guard.guarded.reason()
        assert {each.result() for each in tries if each.done()} == {"refused"}
        guard.bus.gate.set()
        assert sorted(each.result() for each in tries) == ["refused"] * 19 + ["stored"]
    assert guard.bus.appends == 4


def test_appends_run_beside_each_other(guard: Guard) -> None:
    guard.bus.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        tries = [pool.submit(guard.append, None, 20.0) for _ in range(8)]
        until(lambda: guard.bus.most_at_once == 8)
        guard.bus.gate.set()
        assert {each.result() for each in tries} == {"stored"}


def test_what_was_under_way_before_a_change_is_not_counted_after_it(guard: Guard) -> None:
    guard.bus.gate.clear()
    with ThreadPoolExecutor(3) as pool:
        slow = [pool.submit(guard.append, DOWN, 20.0) for _ in range(3)]
        until(lambda: guard.bus.appends == 3)
        other, guard.bus.gate = guard.bus.gate, threading.Event()
        guard.bus.gate.set()
        guard.appends(DOWN, DOWN, DOWN)
        guard.now += 10.1
        assert guard.append() == "stored"
        guard.bus.failure = DOWN
        other.set()
        assert [each.result() for each in slow] == ["BusError"] * 3
    assert guard.append() == "stored", "three late failures of the time before do not open it"


def test_a_try_that_never_comes_back_is_given_up(guard: Guard) -> None:
    guard.appends(DOWN, DOWN, DOWN)
    guard.now += 10.1
    guard.bus.gate.clear()
    with ThreadPoolExecutor(1) as pool:
        lost = pool.submit(guard.append, None, 20.0)
        until(lambda: guard.bus.appends == 4)
        other, guard.bus.gate = guard.bus.gate, threading.Event()
        guard.bus.gate.set()
        assert guard.append() == "refused"
        guard.now += 31  # its deadline and a pause
        assert guard.append() == "stored"
        other.set()
        assert lost.result() == "stored"


def test_state_changes_failures_and_refusals_are_metrics(guard: Guard) -> None:
    guard.appends(DOWN, OutcomeUnknown("late"), BusFull("no room"), None)
    found = guard.metrics()
    assert found['headwater_ingest_breaker{headwater_ingest_breaker="open",topic="logs.raw"}'] == 1
    assert found['headwater_ingest_breaker{headwater_ingest_breaker="closed",topic="logs.raw"}'] == 0
    for reason in ("full", "outcome_unknown", "unavailable"):
        assert found[f'headwater_ingest_append_failures_total{{reason="{reason}"}}'] == 1
    assert found["headwater_ingest_breaker_refusals_total"] == 1
    guard.now += 10.1
    guard.append()
    found = guard.metrics()
    assert found['headwater_ingest_breaker{headwater_ingest_breaker="closed",topic="logs.raw"}'] == 1
    for state in ("open", "half-open", "closed"):
        assert found[f'headwater_ingest_breaker_changes_total{{to="{state}",topic="logs.raw"}}'] == 1


@contextlib.contextmanager
def serving(folder: Path, bus: Bus, **overrides: Any) -> Iterator[Service]:
    """A service on the bus of the test."""
    settings = load_settings(_env_file=None, data_dir=folder, log_level="error", **overrides)
    app = create_service("Test", settings)
    ingestion.mount(app, bus, settings)
    with running(app) as url:
        service = Service(url, settings, bus)
        with service.client:
            yield service


def test_a_silent_bus_costs_each_request_its_deadline_then_nothing_and_comes_back_without_a_restart(
    tmp_path: Path,
) -> None:
    bus = ScriptedBus()
    limits = {"ingest_bus_timeout_s": 1, "ingest_breaker_failures": 3, "ingest_breaker_open_s": 3}
    with serving(tmp_path, bus, **limits) as service:
        assert service.post(b'{"body":"x"}').status_code == 202
        bus.gate.clear()
        with ThreadPoolExecutor(6) as pool:
            answers = list(pool.map(lambda _: service.post(b'{"body":"x"}'), range(6)))
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(503, "outcome_unknown")}

        asked = bus.appends
        refused = service.post(b"this is not even read")
        assert (refused.status_code, refused.json()["code"]) == (503, "bus_unavailable")
        assert int(refused.headers["retry-after"]) >= 1
        assert bus.appends == asked
        ready = service.client.get("/health/ready")
        assert ready.status_code == 503
        assert "no answer in time" in ready.json()["checks"]["breaker"]["reason"]

        bus.gate.set()
        until(lambda: service.post(b'{"body":"x"}').status_code == 202)
        assert service.client.get("/health/ready").status_code == 200


def test_a_silent_bus_takes_no_more_threads_than_there_are_places(tmp_path: Path) -> None:
    bus = ScriptedBus()
    limits = {"ingest_bus_timeout_s": 1.0, "ingest_concurrency": 4, "ingest_breaker_open_s": 60}
    with serving(tmp_path, bus, **limits) as service:
        bus.gate.clear()
        with ThreadPoolExecutor(24) as pool:
            answers = list(pool.map(lambda _: service.post(b'{"body":"x"}'), range(24)))
        assert {answer.status_code for answer in answers} == {503}
        assert bus.most_at_once <= 4
        assert service.client.get("/health/live").status_code == 200


def test_readiness_follows_the_bus_and_names_the_reason(tmp_path: Path) -> None:
    bus = ScriptedBus()
    with serving(tmp_path, bus) as service:
        assert service.client.get("/health/ready").status_code == 200
        bus.readable = False
        checks = service.client.get("/health/ready").json()["checks"]
        assert checks["bus"] == {"ready": False, "reason": "cannot be read: look at the broker"}
        assert checks["breaker"] == {"ready": True, "reason": ""}


def test_readiness_says_that_the_bus_is_full_before_a_request_meets_it(tmp_path: Path) -> None:
    settings = load_settings(_env_file=None, data_dir=tmp_path, bus_max_mib=16)
    with contextlib.closing(open_bus(settings.bus, settings)) as bus, serving(tmp_path, bus) as service:
        assert service.client.get("/health/ready").status_code == 200
        with contextlib.suppress(BusFull):
            while True:
                bus.append("logs.raw", "k", [Message(bytes(1 << 20))])
        ready = service.client.get("/health/ready")
        assert ready.status_code == 503
        assert "HEADWATER_BUS_MAX_MIB" in ready.json()["checks"]["bus"]["reason"]


def test_a_process_whose_bus_is_held_by_another_refuses_and_recovers_and_says_so(
    tmp_path: Path,
) -> None:
    settings = load_settings(_env_file=None, data_dir=tmp_path)
    key = create_key(settings.keys_file, tenant_named("shop"), Role.INGEST).token
    # Long enough open for what is asked of it while it is.
    quick = {"BUS_TIMEOUT_S": "1", "BREAKER_FAILURES": "2", "BREAKER_OPEN_S": "3"}
    extra = {f"HEADWATER_INGEST_{name}": value for name, value in quick.items()}
    with (
        program(tmp_path, "ingestion_api", extra=extra) as (process, url),
        httpx.Client(base_url=url, headers={"X-API-Key": key}, timeout=30) as client,
    ):

        def post() -> int:
            return client.post("/logs", json={"body": "x"}).status_code

        assert post() == 202
        with contextlib.closing(sqlite3.connect(tmp_path / "bus.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            assert [post() for _ in range(2)] == [503, 503]
            assert client.get("/health/ready").json()["checks"]["breaker"]["ready"] is False
            state = metrics_in(client.get("/metrics").text)
            assert state['headwater_ingest_breaker{headwater_ingest_breaker="open",topic="logs.raw"}'] == 1
            other.execute("ROLLBACK")
        until(lambda: post() == 202)
        assert client.get("/health/ready").status_code == 200
        assert process.poll() is None
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    states = [line["state"] for line in lines if line["event"] == "bus_breaker"]
    assert states[0] == "open"
    assert states[-2:] == ["half-open", "closed"]
