"""What the bus may forget: on SQLite nothing that the lake lacks; on Kafka with an alert, and a count of the lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.messages import Kind
from lakehouse.upkeep.care import Care
from orchestration.due.backlog import AT_RISK, LOST, Backlog, TopicLimits, backlogs, bus_risk, risks_of
from tests.flows.messages import ARRIVAL_NS, SECOND_NS, line, message
from tests.flows.running import World
from tests.settings import settings

HOUR_NS = 3600 * SECOND_NS
KEPT = TopicLimits(age_s=3600, size_bytes=1000, held_bytes=1000)


def waiting(messages: int = 10, **values: int) -> Backlog:
    known = {"landed": 90, "first_offset": 0, "next_offset": 90 + messages, "appended_ns": ARRIVAL_NS}
    return Backlog(Kind.LOGS, 0, **{**known, **values})


def names(ahead: Backlog, limits: TopicLimits, now_ns: int) -> list[str]:
    return [risk.name for risk in risks_of(ahead, limits, now_ns, settings())]


def test_half_the_retention_used_up_by_age_is_an_alert() -> None:
    assert names(waiting(), KEPT, ARRIVAL_NS + HOUR_NS // 2 - SECOND_NS) == []
    (risk,) = risks_of(waiting(), KEPT, ARRIVAL_NS + HOUR_NS // 2, settings())
    assert (risk.name, risk.share, risk.messages) == (AT_RISK, 0.5, 10)
    assert "logs.raw/0: 10 messages are not in the lake, and 50% of the bus's retention by age" in risk.message


def test_half_the_retention_used_up_by_size_is_an_alert() -> None:
    assert names(waiting(80), KEPT, ARRIVAL_NS) == []
    (risk,) = risks_of(waiting(90), KEPT, ARRIVAL_NS, settings())
    assert "by size" in risk.message


def test_without_limits_and_without_a_backlog_there_is_no_risk() -> None:
    assert names(waiting(), TopicLimits(), ARRIVAL_NS + 1000 * HOUR_NS) == []
    assert names(waiting(0), KEPT, ARRIVAL_NS + 1000 * HOUR_NS) == []


def test_what_left_the_bus_before_it_landed_is_named_as_lost() -> None:
    lost, at_risk = risks_of(waiting(first_offset=95), KEPT, ARRIVAL_NS + HOUR_NS, settings())
    assert (lost.name, lost.messages, at_risk.name, at_risk.messages) == (LOST, 5, AT_RISK, 5)
    assert "counted as lost" in lost.message


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, bus_retention_h=1e-9)


def held(world: World) -> int:
    return sum(each.next_offset - each.first_offset for each in world.connections.bus.extents("logs.raw").values())


def test_the_embedded_bus_keeps_what_has_not_landed_however_old_it_is(world: World) -> None:
    for sequence in range(3):
        world.append(message([line(f"first {sequence}")], sequence=sequence))
    world.connections.trim(Kind.LOGS)
    assert held(world) == 3

    world.run()
    world.append(message([line("late")], sequence=3))
    world.connections.trim(Kind.LOGS)
    (ahead,) = [each for each in backlogs(Care(world.settings), world.connections.bus, Kind.LOGS) if each.messages]
    assert (held(world), ahead.messages, ahead.lost) == (1, 1, 0)
    assert ahead.received_ns == ARRIVAL_NS
    assert bus_risk(Care(world.settings), world.connections.bus) == []

    world.run()
    assert world.ledger().landed == 4


def test_what_is_gone_is_told_until_the_flow_has_counted_it(world: World) -> None:
    for sequence in range(5):
        world.append(message([line(f"{sequence}")], sequence=sequence))
    (partition,) = [number for number, each in world.connections.bus.extents("logs.raw").items() if each.next_offset]
    world.connections.bus.trim("logs.raw", {partition: 3})  # as a broker would, whoever has read it

    care = Care(world.settings)
    (risk,) = bus_risk(care, world.connections.bus)
    assert (risk.name, risk.partition, risk.messages) == (LOST, partition, 3)

    world.run()
    assert bus_risk(care, world.connections.bus) == []
    assert sum(total.lost for total in world.connections.lake.ledger(None)) == 3
    assert world.ledger().landed == 2
