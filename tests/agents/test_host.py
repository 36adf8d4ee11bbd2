"""Host metrics: this machine's counters by the names of the conventions, shipped like logs."""

from __future__ import annotations

import threading
from typing import NamedTuple

import msgspec
import psutil
import pytest

from agents import read_status, run_host
from agents.host import HostMetrics, Point
from contracts.errors import ConfigError
from contracts.records import SentMetric
from contracts.settings import Settings
from tests.agents.server import Reply, Request, Sink, well_behaved


@pytest.fixture(scope="module")
def points() -> list[Point]:
    return list(HostMetrics("host", "test", "h1", 1000).points())


def values(points: list[Point], name: str, **attributes: str | int) -> list[float]:
    wanted = {key.replace("_", "."): value for key, value in attributes.items()}
    return [point.value for point in points if point.name == name and wanted.items() <= dict(point.attributes).items()]


def test_the_machine_is_described_by_names_of_the_conventions(points: list[Point]) -> None:
    assert {
        "system.cpu.time",
        "system.cpu.utilization",
        "system.cpu.load_average.1m",
        "system.memory.usage",
        "system.memory.utilization",
        "system.paging.usage",
        "system.filesystem.usage",
        "system.network.io",
        "system.process.count",
        "system.uptime",
    } <= {point.name for point in points}


def test_shares_of_a_whole_are_between_0_and_1_and_add_up(points: list[Point]) -> None:
    shares = [point.value for point in points if point.name.endswith("utilization")]
    assert min(shares) >= 0
    assert max(shares) <= 1
    total = [point.value for point in points if point.name == "system.cpu.utilization" and len(point.attributes) == 1]
    assert sum(total) == pytest.approx(1)


def test_counters_that_have_not_moved_yet_give_no_utilisation_rather_than_one_of_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Times(NamedTuple):
        user: float
        idle: float

    now = [Times(10.0, 10.0), Times(20.0, 20.0)]
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: list(now))
    metrics = HostMetrics("host", "test", "h1", 1000)

    def shares() -> dict[tuple[str | int, ...], float]:
        found = [point for point in metrics.points() if point.name == "system.cpu.utilization"]
        return {tuple(value for _, value in point.attributes): point.value for point in found}

    assert shares() == {}
    now[0] = Times(10.0, 10.05)
    assert shares() == {}
    now[0] = Times(10.75, 10.25)
    assert shares() == {("user", 0): 0.75, ("idle", 0): 0.25, ("user",): 0.75, ("idle",): 0.25}


def test_memory_used_and_free_are_within_what_there_is(points: list[Point]) -> None:
    (limit,) = values(points, "system.memory.limit")
    assert 0 < values(points, "system.memory.usage", system_memory_state="used")[0] < limit


def test_every_point_is_a_metric_of_the_contract() -> None:
    parts = HostMetrics("host", "test", "h1", 10).collect(5)
    assert max(part.count for part in parts) == 10
    for part in parts:
        for line in part.payload.splitlines():
            point = msgspec.json.decode(line, type=SentMetric)
            assert (point.service, point.env, point.host, point.timestamp) == ("host", "test", "h1", 5)


def test_points_arrive_at_the_metrics_route_and_go_on_under_new_numbers(sink: Sink, settings: Settings) -> None:
    stop = threading.Event()

    def stop_after_three(request: Request, number: int) -> Reply:
        if len({(taken.sequence) for taken in [*sink.taken, request]}) >= 3:
            stop.set()
        return well_behaved(request, number)

    sink.behaviour = stop_after_three
    assert run_host(settings, 0.01, "host", "test", stop=stop) == 0
    assert {request.path for request in sink.requests} == {"/metrics"}
    assert sink.requests[0].headers["x-headwater-stream"] == "host"
    sequences = sorted(sequence for _, sequence in sink.by_sequence())
    assert sequences == list(range(len(sequences)))
    status = read_status(settings.agent_home / "host")
    assert status
    assert status.state == "stopped"


def test_an_interval_that_is_none_is_refused(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="positive"):
        run_host(settings, 0)
