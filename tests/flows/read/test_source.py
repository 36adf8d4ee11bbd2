"""Where reading starts, what happens when the bus cannot be read, and how it ends."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from contracts.batches import Batch
from contracts.errors import BusError, ConfigError
from contracts.messages import Kind
from flows.arrivals import Arrival, Lost
from flows.read.headers import headers_between
from flows.read.pace import Pace
from flows.read.source import BusSource
from tests.flows.messages import line, message
from tests.flows.running import World


def source(world: World, stop: threading.Event | None = None) -> BusSource:
    stop = stop or threading.Event()
    return BusSource(world.connections, Kind.LOGS, stop, Pace(stop, 0.01))


def fill(world: World, count: int) -> int:
    """`count` messages in one partition, which is returned."""
    world.append(*(message([line(f"n{number}")], sequence=number) for number in range(count)), key="k")
    return world.connections.bus.partition_for(Kind.LOGS.topic, "k")


def expire(world: World, partition: int, before: int) -> None:
    world.settings.__dict__["bus_retention_h"] = 1e-9
    world.connections.bus.trim(Kind.LOGS.topic, {partition: before})
    world.settings.__dict__["bus_retention_h"] = 72.0


def test_it_has_a_part_for_each_partition(world: World) -> None:
    assert source(world).list_parts() == ["0", "1"]


def test_a_topic_that_has_grown_ends_the_flow_so_that_the_next_one_reads_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.read.source.LOOK_S", 0.0)
    whole = source(world)
    first, second = (whole.build_part("read", name, None) for name in whole.list_parts())
    first.next_batch()
    monkeypatch.setattr(type(world.connections.bus), "partitions", lambda *_: range(3))

    second.next_batch()  # one look is enough
    with pytest.raises(ConfigError, match=r"logs\.raw\" has 3 partitions now, and had 2"):
        first.next_batch()
    first.close()
    second.close()


def test_a_recovery_store_is_not_believed(world: World) -> None:
    partition = fill(world, 3)
    part = source(world).build_part("read", str(partition), 2)
    first, *_ = part.next_batch()
    assert isinstance(first, Arrival)
    assert first.message.offset == 0
    part.close()


def test_messages_then_ticks(world: World) -> None:
    part = source(world).build_part("read", str(fill(world, 3)), None)
    assert len(part.next_batch()) == 3

    (idle,) = part.next_batch()
    assert isinstance(idle, Batch)
    assert (idle.tick, idle.next_offset, idle.received) == (True, 3, 0)
    assert part.snapshot() == 3
    part.close()


def test_told_to_stop_it_ends(world: World) -> None:
    stop = threading.Event()
    part = source(world, stop).build_part("read", "0", None)
    stop.set()
    with pytest.raises(StopIteration):
        part.next_batch()
    part.close()


def test_a_bus_that_cannot_be_read_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    partition = fill(world, 2)
    part = source(world).build_part("read", str(partition), None)

    def refuse(*_: Any) -> None:
        raise BusError("not now")

    with monkeypatch.context() as patch:
        patch.setattr(type(world.connections.bus), "reader", refuse)
        for _ in range(3):
            (waiting,) = part.next_batch()
            assert isinstance(waiting, Batch)
            assert waiting.tick
    found = part.next_batch()
    while isinstance(found[0], Batch):  # it does not try again at once
        found = part.next_batch()
    assert len(found) == 2
    part.close()


def test_offsets_that_expire_while_it_reads_are_lost_by_name(world: World) -> None:
    partition = fill(world, 40)  # more than one poll
    part = source(world).build_part("read", str(partition), None)
    read = len(part.next_batch())
    expire(world, partition, 39)
    (lost,) = part.next_batch()
    (last,) = part.next_batch()

    assert isinstance(lost, Lost)
    assert (lost.first, lost.next_offset, lost.partition) == (read, 39, partition)
    assert isinstance(last, Arrival)
    assert last.message.offset == 39
    part.close()


def test_headers_are_scanned_from_what_is_left(world: World) -> None:
    partition = fill(world, 10)
    expire(world, partition, 4)
    bus = world.connections.bus
    assert [found.offset for found in headers_between(bus, Kind.LOGS, partition, 0, 8)] == [4, 5, 6, 7]
    assert list(headers_between(bus, Kind.LOGS, partition, 8, 8)) == []
