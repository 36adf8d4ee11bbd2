"""A store that is away: the other goes on, and the first is fed from its own checkpoint when it is back."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from contracts.messages import Kind, Message
from contracts.query import All, RecordQuery
from lakehouse.delta.table import Delta
from lakehouse.read.search import Search
from query_api.account import account
from tests.flows.messages import ARRIVAL_NS, TENANT, foreign, line, message
from tests.flows.running import World, away, until

KEY = "k"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, store_patience_s=0.3, bus_partitions=2)
    yield made
    made.connections.close()


class Sender:
    """Batches of ten records, numbered on."""

    def __init__(self, world: World) -> None:
        self._world, self.sent = world, 0

    def __call__(self, batches: int) -> None:
        for _ in range(batches):
            first, self.sent = self.sent, self.sent + 10
            for producer in ("a", "b", "c"):  # they belong to different partitions
                self._world.append(numbered(producer, first, self.sent))

    @property
    def all(self) -> Counter[str]:
        return Counter(f"{name}{number}" for name in ("a", "b", "c") for number in range(self.sent))


def numbered(producer: str, first: int, end: int) -> Message:
    return message([line(f"{producer}{number}") for number in range(first, end)], sequence=first, producer=producer)


def ends(world: World) -> dict[int, int]:
    return {each: extent.next_offset for each, extent in world.connections.bus.extents(Kind.LOGS.topic).items()}


def has_all(world: World, store: str) -> bool:
    done = getattr(world.connections, store).checkpoints(Kind.LOGS)
    return all(done.get(each, 0) == end for each, end in ends(world).items())


def found(world: World) -> tuple[Counter[str], bool, str]:
    """What a search finds, whether it says partial, and the hot store's error."""
    search = Search(world.connections.hot, world.connections.lake, world.settings)
    page = search.records(TENANT, RecordQuery(Kind.LOGS, All(), None, None, 100_000))
    return Counter(each.fields["body"] for each in page.records), page.partial, page.tiers["hot"].error


def in_order(world: World) -> None:
    """Every record in both stores once, and accounted for."""
    (entry,) = [
        each
        for each in account(world.connections.bus, world.connections.lake, TENANT, world.connections.hot)
        if each.kind is Kind.LOGS
    ]
    assert (entry.difference, entry.in_flight, entry.lost) == (0, 0, 0)
    places = [(row["bus_partition"], row["bus_offset"], row["bus_index"]) for row in world.lake_rows()]
    assert len(places) == len(set(places))


def forget_bus(world: World) -> None:
    """Let the bus forget all that it may."""
    world.settings.__dict__["bus_retention_h"] = 1e-9
    world.connections.trim(Kind.LOGS)
    world.settings.__dict__["bus_retention_h"] = 72.0


def test_the_lake_goes_on_while_the_hot_store_is_away_which_is_then_fed_from_the_lake(world: World) -> None:
    send, hot = Sender(world), world.settings.data / "hot"

    def scenario() -> None:
        send(3)
        until(lambda: has_all(world, "hot") and has_all(world, "lake"), "both stores have the first records")
        with away(hot):
            send(20)
            until(lambda: has_all(world, "lake"), "the lake goes on")
            records, partial, error = found(world)
            assert (records, partial) == (send.all, True)
            assert error
            forget_bus(world)
            send(2)
        until(lambda: has_all(world, "hot") and has_all(world, "lake"), "the hot store has caught up")
        send(2)
        until(lambda: has_all(world, "hot") and has_all(world, "lake"), "both go on")

    world.run_during(scenario)

    assert min(extent.first_offset for extent in world.connections.bus.extents(Kind.LOGS.topic).values()) > 0
    assert world.hot_bodies() == world.lake_bodies() == send.all
    assert found(world) == (send.all, False, "")
    in_order(world)


def test_the_hot_store_goes_on_while_the_lake_is_away_which_is_then_fed_from_the_bus(world: World) -> None:
    send, lake = Sender(world), world.settings.data / "lake"

    def scenario() -> None:
        send(3)
        world.append(foreign(b"not json"))
        until(lambda: has_all(world, "hot") and has_all(world, "lake"), "both stores have the first records")
        with away(lake):
            send(20)
            world.append(foreign(b"nor this"), numbered("a", 0, 10))
            until(lambda: has_all(world, "hot"), "the hot store goes on")
            records, partial, _ = found(world)
            assert (records, partial) == (send.all, True)
        until(lambda: has_all(world, "lake"), "the lake has caught up")
        send(2)
        until(lambda: not world.behind((Kind.LOGS, Kind.DEAD_LETTERS)), "all go on")

    world.run_during(scenario)

    assert world.hot_bodies() == world.lake_bodies() == send.all
    assert sorted(row["payload"] for row in world.lake_rows("dead_letters")) == [b"nor this", b"not json"]
    assert world.ledger().duplicates == 10
    in_order(world)


def test_days_that_the_hot_store_missed_are_left_to_the_lake_but_for_the_newest_two(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    day_ns, hot = 86_400 * 10**9, world.settings.data / "hot"
    days = [f"d{number}" for number in range(4)]

    def send(number: int, first: int = 0) -> None:
        lines = [line(f"{days[number]}-{first}")]
        sent = message(lines, producer=days[number], sequence=first, received_ns=ARRIVAL_NS + number * day_ns)
        world.append(sent, key=KEY)

    def scenario() -> None:
        send(0)
        until(lambda: has_all(world, "hot") and has_all(world, "lake"), "both stores have the first record")
        with away(hot):
            send(0, 1)
            for number in (1, 2, 3):
                send(number)
            until(lambda: has_all(world, "lake"), "the lake goes on")
            until(lambda: "left behind" in caplog.text, "the hot store is left behind")
        until(lambda: has_all(world, "hot"), "the hot store has caught up")

    world.run_during(scenario)

    assert world.hot_bodies() == Counter(["d2-0", "d3-0"])
    assert found(world)[0] == world.lake_bodies() == Counter(["d0-0", "d0-1", "d1-0", "d2-0", "d3-0"])


def test_a_store_that_hangs_is_no_worse_than_one_that_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    send, goes_on = Sender(world), threading.Event()
    goes_on.set()
    for name in ("refresh", "append"):
        hang(monkeypatch, Delta, name, goes_on)

    def scenario() -> None:
        send(3)
        until(lambda: has_all(world, "hot") and has_all(world, "lake"), "both stores have the first records")
        goes_on.clear()
        try:
            for _ in range(5):
                send(4)
                world.append(foreign(b"not json"))
                until(lambda: has_all(world, "hot"), "the hot store goes on")
        finally:
            goes_on.set()
        until(lambda: not world.behind((Kind.LOGS, Kind.DEAD_LETTERS)), "the lake has caught up")

    monkeypatch.setattr("flows.write.lanes.QUEUE_ROWS", 20)
    monkeypatch.setattr("flows.write.lanes.NEAR_HANG_S", 0.3)
    monkeypatch.setattr("flows.write.lanes.SLOW_HANG_S", 0.3)
    world.settings.__dict__["erase_look_s"] = 0.1
    world.run_during(scenario)

    assert world.hot_bodies() == world.lake_bodies() == send.all
    assert len(world.lake_rows("dead_letters")) == 5
    in_order(world)


def hang(patch: pytest.MonkeyPatch, owner: type[Any], name: str, goes_on: threading.Event) -> None:
    """Let each call of `owner.name` wait for `goes_on`."""
    real = getattr(owner, name)

    def hanging(*given: Any, **named: Any) -> Any:
        goes_on.wait()
        return real(*given, **named)

    patch.setattr(owner, name, hanging)
