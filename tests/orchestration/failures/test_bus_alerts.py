"""What the bus forgets before it has landed is told: through the sensor that looks every minute, over a real bus."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from contracts.errors import BusError
from contracts.messages import Kind
from contracts.settings import Settings
from headwater.supervision.batch_metrics import BatchFailures
from orchestration.definitions import defs
from orchestration.due import backlog
from orchestration.due.backlog import Backlog, Risk, TopicLimits, risks_of
from orchestration.failures.alerts import tell_untold
from orchestration.resources import Upkeep
from tests.flows.messages import line, message
from tests.flows.running import World
from tests.orchestration.failures.test_failed_runs import Hook, events, served, start_anew

MINUTE_NS = 60 * 10**9


class Looks:
    """The sensor as the daemon asks it, minute after minute, with the cursor that it left."""

    def __init__(self, world: World, url: str, instance: dg.DagsterInstance) -> None:
        given = world.settings.model_dump(include={"bus_url", "lake_url", "archive_url", "foreign_tenant"})
        values = {name: value for name, value in given.items() if value}
        self.overrides = {**values, "data_dir": str(world.settings.data_dir), "alert_webhook_url": url}
        self.now_ns = time.time_ns()
        self.cursor: str | None = None
        self._instance = instance

    @property
    def upkeep(self) -> Upkeep:
        return Upkeep(overrides=self.overrides, clock_ns=self.now_ns)

    def look(self) -> None:
        repository = defs.get_repository_def()
        context = dg.build_sensor_context(
            instance=self._instance, cursor=self.cursor, repository_def=repository, resources={"upkeep": self.upkeep}
        )
        self.cursor = repository.get_sensor_def("landing").evaluate_tick(context).cursor
        self.now_ns += MINUTE_NS

    def told(self) -> list[dict[str, Any]]:
        found = [event for _, event in events(self.upkeep.settings()) if event["name"].startswith("bus.")]
        return sorted(found, key=lambda event: event["timestamp"])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, bus_retention_h=1e-9)


def put(world: World, first: int, end: int) -> None:
    world.append(*(message([line(f"n{number}")], sequence=number) for number in range(first, end)))


def forget(world: World, offset: int) -> None:
    """As a broker would, whoever has read it."""
    bus = world.connections.bus
    (partition,) = [number for number, each in bus.extents("logs.raw").items() if each.next_offset]
    bus.trim("logs.raw", {partition: offset})


def counted(world: World) -> dict[tuple[str, ...], float]:
    """By the service's metrics, those that are not 0."""
    samples = [sample for family in BatchFailures(world.settings.data).collect() for sample in family.samples]
    return {tuple(sample.labels.values()): sample.value for sample in samples if sample.value}


def test_what_left_the_bus_unlanded_is_told_once_before_and_after_a_flow_counts_it(world: World) -> None:
    hook = Hook()
    with served(hook) as url, dg.DagsterInstance.ephemeral() as instance:
        looks = Looks(world, url, instance)
        put(world, 0, 5)
        looks.look()
        assert looks.told() == []
        forget(world, 3)
        looks.look()
        looks.look()
        world.run()
        looks.look()
        (event,) = looks.told()
        assert (event["name"], event["attributes"]["topic"], event["attributes"]["messages"]) == (
            "bus.records_lost",
            "logs.raw",
            3,
        )
        assert [body["event"] for body in hook.bodies] == ["bus.records_lost"]
        put(world, 5, 9)
        forget(world, 7)
        world.run()
        looks.look()
        assert [event["attributes"]["messages"] for event in looks.told()] == [3, 2], "a flow was faster than the look"
        looks.cursor = None
        looks.look()
    assert len(looks.told()) == len(hook.bodies) == 2
    assert counted(world) == {("bus.records_lost", "logs.raw"): 2}


def as_on_brokers(ahead: Backlog, _: TopicLimits, now_ns: int, settings: Settings) -> Sequence[Risk]:
    """The embedded bus never forgets by age alone; these keep logs for a second."""
    return risks_of(ahead, TopicLimits(age_s=1.0 if ahead.kind is Kind.LOGS else 0), now_ns, settings)


def away(*_: object) -> None:
    raise BusError("the bus is full")


def test_a_risk_is_told_once_while_it_lasts_also_when_the_bus_cannot_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = Hook()
    put(world, 0, 4)
    monkeypatch.setattr(backlog, "risks_of", as_on_brokers)
    with served(hook) as url, dg.DagsterInstance.ephemeral() as instance:
        looks = Looks(world, url, instance)
        looks.now_ns += MINUTE_NS
        with monkeypatch.context() as patch:
            patch.setattr(type(world.connections.bus), "append", away)
            looks.look()
            looks.look()
        assert looks.told() == []
        assert [body["event"] for body in hook.bodies] == ["bus.retention_at_risk"]
        start_anew()
        assert [tell_untold(looks.upkeep), tell_untold(looks.upkeep)] == [1, 0]
        assert [event["attributes"]["messages"] for event in looks.told()] == [4]
        world.run()
        looks.look()
        assert "at_risk" not in str(looks.cursor)
        put(world, 4, 5)
        looks.look()
        looks.look()
    assert [event["attributes"]["messages"] for event in looks.told()] == [4, 1]
    assert counted(world) == {("bus.retention_at_risk", "logs.raw"): 2}
