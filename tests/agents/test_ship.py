"""Ship: a real HTTP server misbehaves; every record is taken once or set aside with its reason."""

from __future__ import annotations

import email.utils
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents import read_status
from contracts.settings import Settings
from tests.agents.server import Reply, Request, Sink, well_behaved

Ship = Callable[..., int]
LINES = [f"line {i}" for i in range(40)]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "app.log"
    path.write_text("".join(f"{line}\n" for line in LINES))
    return path


def set_aside(settings: Settings) -> list[dict[str, Any]]:
    path = settings.agent_home / "logs" / "set_aside.ndjson"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def once(reply: Reply) -> Callable[[Request, int], Reply]:
    return lambda request, number: reply if number == 0 else well_behaved(request, number)


def test_requests_name_the_producer_the_stream_and_the_first_sequence(sink: Sink, ship: Ship, log: Path) -> None:
    ship(log, agent_batch_records=15)
    assert [request.sequence for request in sink.requests] == [0, 15, 30]
    headers = sink.requests[0].headers
    assert headers["authorization"] == "Bearer test-key"
    assert headers["x-headwater-stream"] == "logs"
    assert headers["x-headwater-epoch"] == "0"
    assert headers["x-headwater-producer"].startswith("agent-")
    assert headers["content-type"] == "application/x-ndjson"
    assert {request.path for request in sink.requests} == {"/logs"}
    assert sink.connections == 1


@pytest.mark.parametrize("compression", ["zstd", "gzip", "none"])
def test_every_compression_carries_the_same_records(sink: Sink, ship: Ship, log: Path, compression: str) -> None:
    ship(log, agent_compression=compression)
    assert sink.bodies() == LINES
    assert sink.requests[0].headers.get("content-encoding", "none") == compression


@pytest.mark.parametrize(
    "reply",
    [
        Reply(cut=True),
        Reply(cut=True, store=False),
        Reply(429, headers={"Retry-After": "0"}),
        Reply(429, headers={"Retry-After": email.utils.formatdate(0, usegmt=True)}),
        Reply(503),
        Reply(408),
    ],
)
def test_what_was_not_acknowledged_is_sent_again_under_the_same_numbers(
    sink: Sink, settings: Settings, ship: Ship, log: Path, reply: Reply
) -> None:
    sink.behaviour = once(reply)
    assert ship(log, agent_batch_wait_s=5) == 0
    assert len(sink.requests) == 2
    assert sink.requests[0].sequence == sink.requests[1].sequence
    assert sink.bodies() == LINES
    status = read_status(settings.agent_home / "logs")
    assert status
    assert (status.retried, status.requests, status.sent_records, status.buffered_records) == (1, 2, 40, 0)


def test_an_answer_that_does_not_come_in_time_is_a_reason_to_send_again(sink: Sink, ship: Ship, log: Path) -> None:
    def slow(request: Request, number: int) -> Reply:
        if number == 0:
            time.sleep(0.3)
        return well_behaved(request, number)

    sink.behaviour = slow
    ship(log, agent_timeout_s=0.1)
    assert len(sink.requests) >= 2
    assert sink.bodies() == LINES


@pytest.mark.parametrize("status", [413, 400, 422])
def test_a_refused_batch_is_halved_until_the_culprit_is_alone(
    sink: Sink, settings: Settings, ship: Ship, log: Path, status: int
) -> None:
    def refuse(request: Request, number: int) -> Reply:
        if {"line 7", "line 31"} & set(request.bodies()):
            return Reply(status, {"code": "bad_record", "detail": "no good"}, store=False)
        return well_behaved(request, number)

    sink.behaviour = refuse
    assert ship(log) == 0
    assert sink.bodies() == [line for line in LINES if line not in ("line 7", "line 31")]
    assert {sequence for _, sequence in sink.by_sequence()} == set(range(40)) - {7, 31}
    kept = set_aside(settings)
    assert [(each["sequence"], each["record"]["body"]) for each in kept] == [(7, "line 7"), (31, "line 31")]
    assert {(each["code"], each["reason"], each["status"]) for each in kept} == {("bad_record", "no good", status)}


def test_records_refused_within_an_accepted_batch_are_set_aside(
    sink: Sink, settings: Settings, ship: Ship, log: Path
) -> None:
    rejected = [{"index": 3, "code": "too_deep", "message": "why"}]
    sink.behaviour = lambda request, number: Reply(body={"accepted": 39, "rejected": rejected})
    ship(log)
    assert [(each["sequence"], each["code"], each["reason"]) for each in set_aside(settings)] == [
        (3, "too_deep", "why")
    ]
    status = read_status(settings.agent_home / "logs")
    assert status
    assert (status.rejected, status.set_aside, status.sent_records) == (1, 1, 39)


def test_a_batch_of_which_nothing_was_usable_is_set_aside_at_once(
    sink: Sink, settings: Settings, ship: Ship, log: Path
) -> None:
    rejected = [{"index": index, "code": "bad", "message": f"m{index}"} for index in range(40)]
    sink.behaviour = lambda request, number: Reply(400, {"rejected": rejected}, store=False)
    ship(log, agent_batch_wait_s=5)
    assert len(sink.requests) == 1
    assert [each["reason"] for each in set_aside(settings)] == [f"m{index}" for index in range(40)]


@pytest.mark.parametrize(("status", "advice"), [(401, "HEADWATER_API_KEY"), (404, "HEADWATER_INGEST_URL")])
def test_a_refused_key_or_url_keeps_the_data_and_is_said(
    sink: Sink, ship: Ship, log: Path, capsys: pytest.CaptureFixture[str], status: int, advice: str
) -> None:
    sink.behaviour = lambda request, number: Reply(status, store=False)
    assert ship(log) == 1
    assert advice in capsys.readouterr().err
    sink.behaviour = well_behaved
    assert ship(log) == 0
    assert sink.bodies() == LINES


def test_a_service_that_is_away_for_a_while_gets_everything_later(
    sink: Sink, settings: Settings, ship: Ship, log: Path
) -> None:
    sink.behaviour = lambda request, number: Reply(503, store=False) if number < 5 else well_behaved(request, number)
    ship(log, agent_batch_records=10)
    assert sink.bodies() == LINES
