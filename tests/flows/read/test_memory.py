"""A start reads the headers that came after what was saved, once each, and ends when told to."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from bus.sqlite.reader import SqliteReader
from contracts.bus import Bus, Extent
from contracts.errors import BusError
from contracts.messages import Kind, Message
from flows.arrivals import Arrival
from flows.read.forgotten import forgotten_counts
from flows.read.memory import Memory
from flows.read.pace import Pace
from flows.read.saved_repeats import FOLDER, SavedRepeats
from flows.read.source import BusPart, BusSource
from headwater.supervision.batch_metrics import BatchFailures
from tests.flows.messages import line, message
from tests.flows.running import World


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Offsets of the messages whose headers were read."""
    offsets: list[int] = []
    real = SqliteReader.headers

    def headers(self: SqliteReader, limit: int) -> Sequence[Message]:
        found = real(self, limit)
        offsets.extend(each.offset for each in found)
        return found

    monkeypatch.setattr(SqliteReader, "headers", headers)
    return offsets


def sent(first: int, count: int) -> list[Message]:
    """Of two streams and of requests with keys."""
    made = []
    for number in range(first, first + count):
        made.append(message([line(f"s{number}")], stream="s", sequence=number))
        made.append(message([line(f"k{number}")], producer=f"key:{number}", stream=""))
    return made


def part_of(world: World, stop: threading.Event | None = None) -> BusPart:
    stop = stop or threading.Event()
    partition = world.connections.bus.partition_for(Kind.LOGS.topic, "k")
    return BusSource(world.connections, Kind.LOGS, stop, Pace(stop, 0.01)).build_part("read", str(partition), None)


def test_a_start_after_a_clean_end_reads_no_header_and_knows_every_repeat(world: World, read: list[int]) -> None:
    world.append(*sent(0, 50), key="k")
    world.run()
    world.reopen()
    world.append(*sent(0, 50), *sent(50, 1), key="k")
    world.run()

    assert read == []
    assert world.lake_bodies() == {f"{name}{number}": 1 for name in "sk" for number in range(51)}
    assert world.ledger().duplicates == 100


def test_a_start_without_what_was_saved_reads_every_header_and_saves_it_anew(world: World, read: list[int]) -> None:
    world.append(*sent(0, 50), key="k")
    world.run()
    shutil.rmtree(Path(world.settings.lake) / FOLDER)
    world.append(*sent(0, 50), key="k")
    world.run()
    assert read == list(range(100))
    assert world.ledger().duplicates == 100

    world.append(*sent(0, 50), key="k")
    world.run()
    assert read == list(range(100))
    assert world.ledger().duplicates == 200


def test_after_a_bus_error_reading_goes_on_where_it_was(
    world: World, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.read.headers.SCAN_MESSAGES", 10)
    world.append(*sent(0, 25), key="k")
    world.run()
    shutil.rmtree(Path(world.settings.lake) / FOLDER)
    real, failures = SqliteReader.headers, [3, 1]

    def headers(self: SqliteReader, limit: int) -> Sequence[Message]:
        if failures:
            failures[-1] -= 1
            if failures[-1] < 0:
                failures.pop()
                raise BusError("away")
        return real(self, limit)

    monkeypatch.setattr(SqliteReader, "headers", headers)
    part = part_of(world)

    assert read == list(range(50))
    assert not failures
    part.close()


class Behind:
    """A broker that shows 10 messages at its first two looks."""

    def __init__(self, bus: Bus) -> None:
        self._bus, self.looks = bus, 0

    def extents(self, topic: str) -> Mapping[int, Extent]:
        self.looks += 1
        most = 10 if self.looks <= 2 else 1_000
        found = self._bus.extents(topic).items()
        return {part: replace(each, next_offset=min(each.next_offset, most)) for part, each in found}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._bus, name)


def test_a_bus_that_ends_before_the_place_of_the_start_is_asked_again(world: World, read: list[int]) -> None:
    world.append(*sent(0, 25), key="k")
    bus = Behind(world.connections.bus)
    partition = world.connections.bus.partition_for(Kind.LOGS.topic, "k")

    Memory(world.connections, Kind.LOGS, partition, cast(Bus, bus), threading.Event()).recall(50, saves=False)

    assert bus.looks == 3
    assert read == list(range(50))


def test_told_to_stop_on_the_way_it_ends_and_saves_nothing(
    world: World, read: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flows.read.headers.SCAN_MESSAGES", 10)
    world.append(*sent(0, 50), key="k")
    world.run()
    saved = Path(world.settings.lake) / FOLDER
    shutil.rmtree(saved)
    stop, real = threading.Event(), SqliteReader.headers

    def headers(self: SqliteReader, limit: int) -> Sequence[Message]:
        if len(read) >= 30:
            stop.set()
        return real(self, limit)

    monkeypatch.setattr(SqliteReader, "headers", headers)
    part = part_of(world, stop)
    with pytest.raises(StopIteration):
        part.next_batch()
    part.close()

    assert len(read) < 60
    assert not saved.exists()


def test_what_is_forgotten_for_want_of_room_is_counted_over_restarts(tmp_path: Path) -> None:
    world = World(tmp_path, idempotency_keys=10, flow_streams=2)
    world.append(*sent(0, 30), key="k")
    world.append(*(message([line(name)], stream=name) for name in "abc"), key="k")
    world.run()
    assert forgotten_counts(world.settings.data) == {("logs", "keys"): 20, ("logs", "streams"): 2}

    world.reopen()
    world.append(*sent(30, 5), key="k")
    world.run()
    assert forgotten_counts(world.settings.data) == {("logs", "keys"): 25, ("logs", "streams"): 3}
    (family,) = [each for each in BatchFailures(world.settings.data).collect() if "forgotten" in each.name]
    assert {tuple(each.labels.values()): each.value for each in family.samples} == {
        ("logs", "keys"): 25,
        ("logs", "streams"): 3,
    }
    world.connections.close()


def test_a_second_reader_that_lags_knows_what_was_known_at_its_own_offset(world: World) -> None:
    world.append(*sent(0, 20), *sent(0, 20), key="k")
    part = part_of(world)
    first = [item for item in part.next_batch() if isinstance(item, Arrival)]
    part.close()  # saves what lies past its own start
    world.run()

    again = part_of(world)
    start = again._start
    again.close()
    behind = BusPart(
        world.connections,
        Kind.LOGS,
        again._partition,
        type(start)(start.bus, start.identity, 20),
        threading.Event(),
        Pace(threading.Event(), 0.01),
    )
    second = [item for item in behind.next_batch() if isinstance(item, Arrival)]
    behind.close()

    fresh = {item.message.offset: item.fresh for item in first}
    assert all(fresh[item.message.offset] == item.fresh for item in second if item.message.offset in fresh)
    assert [item.fresh for item in second if 20 <= item.message.offset < 40] == [None] * 20


def test_a_state_of_a_later_offset_would_lose_records(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why a start takes no state from past its own offset: so a crash between save and commit would end."""
    world.append(*sent(0, 20), key="k")
    part = part_of(world)
    part.next_batch()
    part.close()  # saved, and no store has anything
    honest = SavedRepeats.at
    with monkeypatch.context() as patch:
        patch.setattr(SavedRepeats, "at", lambda self, _offset: honest(self, 1 << 60))
        patch.setattr("flows.read.memory.headers_between", lambda *_: [])
        world.run()
    assert len(world.lake_bodies()) < 40
    assert world.ledger().duplicates > 0


def test_the_same_crash_with_the_state_of_the_offset_loses_none(world: World) -> None:
    world.append(*sent(0, 20), key="k")
    part = part_of(world)
    part.next_batch()
    part.close()
    world.run()

    assert len(world.lake_bodies()) == 40
    assert world.ledger().duplicates == 0
