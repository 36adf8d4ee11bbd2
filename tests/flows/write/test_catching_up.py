"""What may happen while a store catches up: erasures, another day, the end of the process, the other store away."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bytewax.errors import BytewaxRuntimeError

from contracts.messages import Kind
from contracts.query import Term
from flows.read import places
from flows.write import catching_up
from flows.write.catching_up import BusFeed, LakeRange, sliced
from lakehouse.lake.erasure_requests import Request
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.erasure.erase import Means, erase
from tests.flows.messages import ARRIVAL_NS, TENANT, foreign, line, message
from tests.flows.running import World, away, until
from tests.flows.write.test_away import Sender, forget_bus, found, has_all, in_order

DAY_NS = 86_400 * 10**9


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    quick = {"erase_look_s": 0.05, "erase_grace_s": 0, "erase_wait_s": 60}
    made = World(tmp_path, store_patience_s=0.3, bus_partitions=2, **quick)
    yield made
    made.connections.close()


def both(world: World) -> bool:
    return has_all(world, "hot") and has_all(world, "lake")


def hold(patch: pytest.MonkeyPatch, owner: type[Any], name: str) -> threading.Event:
    """Let each call of `owner.name` wait for the event."""
    real, go_on = getattr(owner, name), threading.Event()

    def held(*given: Any, **named: Any) -> Any:
        assert go_on.wait(60)
        return real(*given, **named)

    patch.setattr(owner, name, held)
    return go_on


def secrets(world: World) -> None:
    """Of a subject, among others: in logs, and in a dead letter."""
    for number in range(5):
        lines = [line(f"open{number}"), line(f"secret{number}", service="subject")]
        world.append(message(lines, producer="s", sequence=2 * number))


@pytest.mark.parametrize("store", ["hot", "lake"])
def test_an_erasure_that_begins_while_a_store_catches_up_leaves_nothing_of_the_subject(
    world: World, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    send, ends, receipts = Sender(world), time.time_ns() // 1000 * 1000, list[dict[str, Any]]()
    request = Request("e1", TENANT, {Kind.LOGS: Term("service", "subject")}, "service:subject", ends)
    go_on = hold(monkeypatch, *((LakeRange, "feed") if store == "hot" else (BusFeed, "feed")))

    def erased() -> None:
        means = Means(world.connections.bus, lambda *_: {}, flows_run=True)
        receipts.append(erase(Care(world.settings), request, means))

    def scenario() -> None:
        send(2)
        until(lambda: both(world), "both stores have the first records")
        with away(world.settings.data / store):
            secrets(world)
            send(2)
            other = "lake" if store == "hot" else "hot"
            until(lambda: has_all(world, other), f"the {other} goes on")
        eraser = threading.Thread(target=erased)
        eraser.start()
        until(lambda: world.connections.tombstones.unfinished() != [], "the erasure has begun")
        go_on.set()
        eraser.join()
        until(lambda: both(world), "both stores have all")

    world.run_during(scenario)

    assert receipts
    left = send.all + Counter(f"open{number}" for number in range(5))
    assert world.lake_bodies() == left
    assert found(world)[0] == left
    in_order(world)


@pytest.mark.parametrize("store", ["hot", "lake"])
def test_a_day_that_begins_while_a_store_is_away_and_one_while_it_catches_up(
    world: World, monkeypatch: pytest.MonkeyPatch, store: str
) -> None:
    go_on = hold(monkeypatch, *((LakeRange, "feed") if store == "hot" else (BusFeed, "feed")))
    other = "lake" if store == "hot" else "hot"

    def send(number: int) -> None:
        lines = [line(f"d{number}-{each}") for each in range(5)]
        world.append(message(lines, sequence=5 * number, received_ns=ARRIVAL_NS + number // 2 * DAY_NS))

    def scenario() -> None:
        send(0)
        until(lambda: both(world), "both stores have the first records")
        with away(world.settings.data / store):
            for number in (1, 2):
                send(number)
                until(lambda: has_all(world, other), f"the {other} goes on")
        send(3)
        until(lambda: has_all(world, other), f"the {other} goes on")
        go_on.set()
        until(lambda: both(world), "both stores have all")
        send(4)
        until(lambda: both(world), "both go on")

    world.run_during(scenario)

    expected = Counter(f"d{number}-{each}" for number in range(5) for each in range(5))
    assert world.lake_bodies() == found(world)[0] == expected
    days = {row["day"] for row in world.lake_rows()}
    assert world.hot_bodies() == (expected if set(world.connections.hot.days(Kind.LOGS)) == days else Counter())
    in_order(world)


@pytest.mark.parametrize("store", ["hot", "lake"])
@pytest.mark.parametrize("at", [1, 2])
def test_a_process_that_ends_while_a_store_catches_up_goes_on_at_its_checkpoint(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, store: str, at: int
) -> None:
    """`at`: which step of the feeding ends it."""
    send = Sender(world)
    monkeypatch.setattr("lakehouse.upkeep.rebuild.bus_order.PART_ROWS", 50)
    monkeypatch.setattr("flows.read.source.POLL_MESSAGES", 3)
    monkeypatch.setattr(places, "FAR_MESSAGES", 4)  # so that the next start feeds it, too
    owner, step = (LakeRange, "_give") if store == "hot" else (BusFeed, "_next")
    dying = Dying(getattr(owner, step), at)

    def scenario() -> None:
        send(2)
        until(lambda: both(world), "both stores have the first records")
        with away(world.settings.data / store):
            send(10)
            world.append(foreign(b"not json"))
            other = "lake" if store == "hot" else "hot"
            until(lambda: has_all(world, other), f"the {other} goes on")
            until(
                lambda: f"{store} store of logs is left" in caplog.text or "lake of logs is left" in caplog.text, "it"
            )
        until(lambda: dying.left == 0, "the feeding is under way")

    with monkeypatch.context() as patch:
        patch.setattr(owner, step, lambda *given: dying(*given))
        with contextlib.suppress(BytewaxRuntimeError):  # none: it was told to stop in the same moment
            world.run_during(scenario)
    world.reopen()
    if store == "hot":
        forget_bus(world)
    send(1)
    world.run()

    assert world.hot_bodies() == world.lake_bodies() == send.all
    assert len(world.lake_rows("dead_letters")) == 1
    in_order(world)


class Dying:
    """A step that raises the `left`th time that it is called, and from then on."""

    def __init__(self, real: Callable[..., Any], left: int) -> None:
        self._real, self.left = real, left

    def __call__(self, *given: Any) -> Any:
        self.left = max(0, self.left - 1)
        if not self.left:
            raise RuntimeError("the process ends here")
        return self._real(*given)


def test_both_stores_away_in_turn_and_at_once(world: World) -> None:
    send, data = Sender(world), world.settings.data

    def scenario() -> None:
        send(2)
        until(lambda: both(world), "both stores have the first records")
        with away(data / "hot"):
            send(5)
            until(lambda: has_all(world, "lake"), "the lake goes on")
            with away(data / "lake"):
                send(5)
                time.sleep(1)
        send(1)
        until(lambda: both(world), "both have caught up")
        with away(data / "lake"):
            send(5)
            until(lambda: has_all(world, "hot"), "the hot store goes on")
            with away(data / "hot"):
                send(5)
                time.sleep(1)
            until(lambda: has_all(world, "hot"), "the hot store has caught up without the lake")
            send(1)
            until(lambda: has_all(world, "hot"), "the hot store goes on again")
        until(lambda: both(world), "both have caught up again")

    world.run_during(scenario)

    assert world.hot_bodies() == world.lake_bodies() == send.all
    in_order(world)


def test_checkpoints_that_are_far_apart_at_a_start_are_brought_together_without_the_reader_of_the_flow(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Sender(world)
    send(10)
    world.run()
    world.connections.close()
    hot = world.settings.data / "hot"
    hot.rename(hot.with_name("lost"))
    world.reopen()
    forget_bus(world)
    send(1)
    world.run()

    assert world.hot_bodies() == world.lake_bodies() == send.all
    in_order(world)
    assert sum(total.lost for total in world.connections.lake.ledger(None)) == 0


def test_a_hot_store_that_is_away_at_the_start_keeps_no_record_from_the_lake(world: World) -> None:
    send, hot = Sender(world), world.settings.data / "hot"
    send(2)
    world.run()

    def scenario() -> None:
        send(3)
        until(lambda: has_all(world, "lake"), "the lake goes on")

    with away(hot):
        world.reopen()
        world.run_during(scenario)
    world.reopen()
    world.run()

    assert world.hot_bodies() == world.lake_bodies() == send.all


def test_a_store_that_met_the_flow_without_being_fed_would_miss_records(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What this file tests can fail."""
    send = Sender(world)

    def scenario() -> None:
        send(2)
        until(lambda: both(world), "both stores have the first records")
        with away(world.settings.data / "hot"):
            send(5)
            until(lambda: has_all(world, "lake"), "the lake goes on")
            until(lambda: "left behind" in caplog.text, "the hot store is left behind")
        until(lambda: "has caught up" in caplog.text, "the hot store seems to have met the flow")
        send(1)
        until(lambda: both(world), "both go on")

    monkeypatch.setattr(catching_up, "gaps_between", lambda done, live: {})
    world.run_during(scenario)
    assert world.hot_bodies() != world.lake_bodies() == send.all


@pytest.mark.parametrize("count", [1, 3, 7, 50])
def test_slices_cover_every_place_once(count: int) -> None:
    gaps = {0: (5, 12), 1: (0, 1), 3: (100, 130)}
    places_ = [(part, place) for each in sliced(gaps, count) for part, span in each.items() for place in range(*span)]
    assert sorted(places_) == [(part, place) for part, span in gaps.items() for place in range(*span)]
