"""When sinks commit, and what they do when told to stop while a store cannot be written."""

from __future__ import annotations

import dataclasses
import datetime as dt
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from contracts.batches import Batch
from contracts.errors import BusError, StoreError
from contracts.hot import HotWriter
from contracts.messages import Kind
from flows.arrivals import Lost, tick
from flows.graph import parser
from flows.write.dead_letters import DeadLetterWriter
from flows.write.lanes import Lane
from flows.write.parts import Part
from flows.write.sinks import BACKLOG_AGE_S, BACKLOG_COMMIT_S, COMMIT_REST, POISON_TRIES, TRIM_S, HotPart, LakePart
from flows.write.stores import StoresPart
from lakehouse.hot.tantivy.writer import TantivyHotWriter
from lakehouse.lake.writer import LakeWriter
from tests.flows.messages import ARRIVAL_NS, TENANT, arrived, balanced, line, message
from tests.flows.running import World
from tests.settings import settings

PARSE = parser(Kind.LOGS, settings())
PATIENCE_S = 30.0
TICK = tick(Kind.LOGS, TENANT, 0, 0)


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def batch(offset: int, *lines: bytes) -> Batch:
    return balanced(PARSE(arrived(message(lines or (line(f"n{offset}"),), offset=offset, sequence=offset))))


def hot_part(world: World, clock: Clock, stop: threading.Event | None = None, age_s: float = 0.0) -> HotPart:
    """`age_s`: how long ago the batches of this test arrived."""
    hot, stop = world.connections.hot, stop or threading.Event()
    return HotPart(lambda: hot.writer(Kind.LOGS), 0.5, stop, clock, lambda: ARRIVAL_NS + int(age_s * 1e9))


def lake_part(world: World, clock: Clock, stop: threading.Event | None = None) -> LakePart:
    stop = stop or threading.Event()
    lake, dead = world.connections.lake, DeadLetterWriter(world.connections, Kind.LOGS, stop)
    return LakePart(lambda: lake.writer(Kind.LOGS), 10, stop, dead, lambda: world.connections.trim(Kind.LOGS), clock)


def stores(hot: HotPart, lake: LakePart) -> StoresPart:
    """Both in lanes, as the flow has them."""
    stop = threading.Event()
    hot_lane = Lane("hot", lambda: hot, unfed, stop, PATIENCE_S)
    lake.go_after(hot_lane.settle)
    return StoresPart(hot_lane, Lane("lake", lambda: lake, unfed, stop, PATIENCE_S))


def unfed(_part: Part, _lane: Lane) -> None:
    raise AssertionError("no store is away")


def test_hot_commits_by_time_since_the_last_commit_and_a_tick_is_enough(world: World) -> None:
    clock, hot = Clock(), world.connections.hot
    part = hot_part(world, clock)
    part.write_batch([batch(0)])
    assert dict(hot.checkpoints(Kind.LOGS)) == {}

    clock.now_s += 0.5
    part.write_batch([TICK])
    part.write_batch([batch(1)])
    assert dict(hot.checkpoints(Kind.LOGS)) == {0: 1}

    clock.now_s += 5
    part.write_batch([batch(2)])  # after a pause the first record does not wait
    assert dict(hot.checkpoints(Kind.LOGS)) == {0: 3}
    part.close()


def test_hot_takes_a_backlog_in_larger_commits(world: World) -> None:
    clock, hot = Clock(), world.connections.hot
    part = hot_part(world, clock, age_s=BACKLOG_AGE_S + 1)
    part.write_batch([batch(0)])
    clock.now_s += BACKLOG_COMMIT_S - 0.1
    part.write_batch([batch(1)])
    assert dict(hot.checkpoints(Kind.LOGS)) == {}

    clock.now_s += 0.1
    part.write_batch([TICK])
    assert dict(hot.checkpoints(Kind.LOGS)) == {0: 2}
    part.close()


def test_hot_commits_less_often_when_its_commits_are_slow(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, hot, real = Clock(), world.connections.hot, TantivyHotWriter.commit

    def slow(self: Any) -> None:
        real(self)
        clock.now_s += 2

    monkeypatch.setattr(TantivyHotWriter, "commit", slow)
    part = hot_part(world, clock)
    clock.now_s += 1
    part.write_batch([batch(0)])
    clock.now_s += 2 * COMMIT_REST - 0.1
    part.write_batch([batch(1)])
    assert dict(hot.checkpoints(Kind.LOGS)) == {0: 1}

    clock.now_s += 0.1
    part.write_batch([TICK])
    assert dict(hot.checkpoints(Kind.LOGS)) == {0: 2}
    part.close()


def test_a_hot_store_that_is_away_for_long_says_nothing_against_a_batch(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, hot = Clock(), world.connections.hot
    faults = [StoreError("away")] * (2 * POISON_TRIES)
    monkeypatch.setattr("flows.patience.FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr("flows.patience.LONGEST_PAUSE_S", 0.001)

    def opened() -> HotWriter:
        if armed and faults:
            raise faults.pop()
        return hot.writer(Kind.LOGS)

    def lost(self: Any, batches: Sequence[Batch]) -> None:
        monkeypatch.setattr(TantivyHotWriter, "append", real)
        armed.append(True)
        raise StoreError("the connection broke")

    real, armed = TantivyHotWriter.append, list[bool]()
    part = HotPart(opened, 0.5, threading.Event(), clock, lambda: ARRIVAL_NS)
    monkeypatch.setattr(TantivyHotWriter, "append", lost)
    part.write_batch([batch(0)])
    part.close()

    assert faults == []
    assert world.hot_bodies() == {"n0": 1}


def test_lake_commits_by_time_since_the_first_record_that_waits(world: World) -> None:
    clock, lake = Clock(), world.connections.lake
    part = lake_part(world, clock)
    clock.now_s += 100
    part.write_batch([batch(0)])
    clock.now_s += 9.9
    part.write_batch([batch(1), TICK])
    assert dict(lake.checkpoints(Kind.LOGS)) == {}

    clock.now_s += 0.1
    part.write_batch([TICK])
    part.write_batch([batch(2)])
    assert dict(lake.checkpoints(Kind.LOGS)) == {0: 2}
    part.close()


def test_closing_commits_what_waits(world: World) -> None:
    hot, lake = hot_part(world, Clock()), lake_part(world, Clock())
    for part in (hot, lake):
        part.write_batch([batch(0), batch(1)])
        part.close()

    assert dict(world.connections.hot.checkpoints(Kind.LOGS)) == {0: 2}
    assert dict(world.connections.lake.checkpoints(Kind.LOGS)) == {0: 2}


def test_the_lake_never_holds_what_the_hot_store_has_not_committed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    hot, seen, real = world.connections.hot, [], LakeWriter._once

    def looking(self: Any, *arguments: Any) -> None:
        seen.append(dict(hot.checkpoints(Kind.LOGS)))
        real(self, *arguments)

    monkeypatch.setattr(LakeWriter, "_once", looking)
    world.settings.__dict__["lake_commit_rows"] = 1
    clock = Clock()
    part = stores(hot_part(world, clock), lake_part(world, clock))
    part.write_batch([batch(0), batch(1), batch(2)])  # the hot store's clock stands still, the lake is full
    part.close()

    assert seen == [{0: 3}] * len(seen)
    assert len(seen) >= 4


def test_a_lost_range_moves_the_checkpoints_of_both_stores(world: World) -> None:
    clock = Clock()
    part = stores(hot_part(world, clock), lake_part(world, clock))
    part.write_batch([Lost(Kind.LOGS, 1, 0, 7, dt.date(2026, 1, 1))])
    part.close()

    assert dict(world.connections.hot.checkpoints(Kind.LOGS)) == {1: 7}
    assert dict(world.connections.lake.checkpoints(Kind.LOGS)) == {1: 7}


@pytest.mark.parametrize(("made", "writer"), [(hot_part, TantivyHotWriter), (lake_part, LakeWriter)])
def test_told_to_stop_while_waiting_a_sink_takes_nothing_more_and_moves_no_checkpoint(
    world: World, monkeypatch: pytest.MonkeyPatch, made: Any, writer: type[Any]
) -> None:
    stop, clock = threading.Event(), Clock()
    part = made(world, clock, stop)
    stop.set()
    real, failing = writer.append, [True]

    def append(self: Any, batches: Any) -> None:
        if failing.pop() if failing else False:
            raise StoreError("not now")
        real(self, batches)

    monkeypatch.setattr(writer, "append", append)
    part.write_batch([batch(0), batch(1)])
    part.write_batch([batch(2)])
    part.close()

    assert not failing
    store = world.connections.hot if made is hot_part else world.connections.lake
    assert dict(store.checkpoints(Kind.LOGS)) == {}


def test_told_to_stop_while_dead_letters_wait_nothing_passes_after_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    dead = DeadLetterWriter(world.connections, Kind.LOGS, stop)
    stop.set()

    def refuse(*_: object, **__: object) -> None:
        raise BusError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.connections.bus), "append", refuse)
        assert dead(batch(0, b"bad")) == []
    assert dead(batch(1)) == []
    other = dataclasses.replace(batch(1), partition=1)
    assert dead(other) == [other]


def test_the_bus_forgets_what_both_stores_have(world: World) -> None:
    world.append(*(message([line(f"n{number}")], sequence=number) for number in range(6)), key="k")
    partition = world.connections.bus.partition_for(Kind.LOGS.topic, "k")
    world.run(Kind.LOGS)
    world.settings.__dict__["bus_retention_h"] = 1e-9
    clock = Clock()
    part = lake_part(world, clock)
    part.write_batch([TICK])
    assert world.connections.bus.extents(Kind.LOGS.topic)[partition].first_offset == 0

    clock.now_s += TRIM_S
    part.write_batch([TICK])
    assert world.connections.bus.extents(Kind.LOGS.topic)[partition].first_offset == 6
    part.close()


def test_a_bus_that_cannot_be_trimmed_halts_nothing_and_is_trimmed_at_the_next_turn(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    clock, stop, lake = Clock(), threading.Event(), world.connections.lake
    faults, trims = [BusError("the disk is full"), StoreError("away")], list[float]()

    def trim() -> None:
        trims.append(clock.now_s)
        if faults:
            raise faults.pop(0)

    dead = DeadLetterWriter(world.connections, Kind.LOGS, stop)
    part = LakePart(lambda: lake.writer(Kind.LOGS), 10, stop, dead, trim, clock)
    for offset in range(3):
        clock.now_s += TRIM_S
        part.write_batch([batch(offset)])
    part.close()

    assert len(trims) == 3
    assert "failure 2 since this start" in caplog.text
    assert dict(lake.checkpoints(Kind.LOGS)) == {0: 3}
