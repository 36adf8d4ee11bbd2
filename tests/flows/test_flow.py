"""The graph from bus to stores: each record once in both, however often it starts, stops, or is sent again."""

from __future__ import annotations

import datetime as dt
import shutil
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from bytewax.dataflow import Dataflow
from bytewax.errors import BytewaxRuntimeError
from bytewax.testing import TestingSink, TestingSource, run_main

from contracts.batches import Batch
from contracts.errors import BusError, ConfigError, StoreError
from contracts.messages import Kind, Message, to_headers
from flows.arrivals import Arrival, Item
from flows.graph import parser, wire
from lakehouse.hot.tantivy.writer import TantivyHotWriter
from lakehouse.lake.writer import LakeWriter
from tests.flows.messages import ARRIVAL_NS, arrived, balanced, bodies, foreign, header, line, message
from tests.flows.running import World
from tests.settings import settings


def numbered(first: int, end: int, **values: Any) -> Message:
    return message([line(f"n{number}") for number in range(first, end)], sequence=first, **values)


def once(*numbers: int) -> Counter[str]:
    return Counter(f"n{number}" for number in range(*numbers))


def test_an_unusable_record_goes_to_the_dead_letters_and_the_rest_flow_on() -> None:
    hot: list[Item] = []
    lake: list[Item] = []
    dead: list[Batch] = []

    def set_aside(item: Item) -> list[Item]:
        dead.extend([item] if isinstance(item, Batch) and item.rejects else [])
        return [item]

    flow = Dataflow("test")
    source: TestingSource[Arrival | Item] = TestingSource([arrived(message([line("a"), b"not json", line("b")]))])
    wire(
        flow,
        Kind.LOGS,
        source,
        parser(Kind.LOGS, settings()),
        set_aside,
        {"h": TestingSink(hot), "l": TestingSink(lake)},
    )
    run_main(flow)  # type: ignore[no-untyped-call]  # compiled, without stubs

    assert [bodies(item) for item in hot] == [bodies(item) for item in lake] == [["a", "b"]]
    assert [reject.payload for batch in dead for reject in balanced(batch).rejects] == [b"not json"]


def test_records_are_in_hot_and_lake_once_and_accounted_for(world: World) -> None:
    world.append(numbered(0, 50), numbered(50, 80, packed=True), foreign(line("stranger")))
    world.run()

    expected = once(80) + Counter(["stranger"])
    assert world.hot_bodies() == world.lake_bodies() == expected
    assert world.ledger().received == 81


def test_every_kind_flows(world: World) -> None:
    metric, event = b'{"name": "cpu", "value": 1.5}', b'{"name": "deploy", "body": "v2"}'
    world.append(message([metric], kind=Kind.METRICS), kind=Kind.METRICS)
    world.append(message([event], kind=Kind.EVENTS), kind=Kind.EVENTS)
    world.append(numbered(0, 1))
    world.run(*Kind)

    assert world.hot_bodies(Kind.METRICS) == Counter(["cpu"])
    assert [(row["name"], row["body"]) for row in world.lake_rows("events")] == [("deploy", "v2")]
    assert world.ledger(Kind.METRICS).landed == world.ledger(Kind.EVENTS).landed == world.ledger().landed == 1


def test_repeats_are_dropped_whole_in_part_and_over_a_gap(world: World) -> None:
    world.append(numbered(0, 10), numbered(0, 10), numbered(5, 15), numbered(20, 25), numbered(12, 25))
    world.run()

    assert world.hot_bodies() == world.lake_bodies() == once(25)
    ledger = world.ledger()
    assert (ledger.received, ledger.duplicates) == (48, 23)


def test_a_repeat_is_known_after_a_restart_without_anything_but_the_bus(world: World) -> None:
    world.append(numbered(0, 10), message([line("k")], producer="key:1"))
    world.run()
    world.reopen()
    world.append(numbered(5, 12), message([line("k")], producer="key:1"))
    world.run()

    assert world.hot_bodies() == world.lake_bodies() == once(12) + Counter(["k"])


def test_without_the_decision_repeats_come_through(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.read.repeats.fresh_lines", lambda header, next_sequence, holes: (range(header.span),))
    world.append(numbered(0, 10), numbered(0, 10))
    world.run()

    assert world.lake_bodies() == once(10) + once(10)


def test_a_deleted_hot_store_is_filled_again_and_the_lake_keeps_what_it_has(world: World) -> None:
    world.append(numbered(0, 30), foreign(b"not json"))
    world.run()
    world.connections.close()
    shutil.rmtree(world.settings.data / "hot")
    world.reopen()
    world.append(numbered(25, 40))
    world.run()

    assert world.hot_bodies() == world.lake_bodies() == once(40)
    assert len(world.lake_rows("dead_letters")) == 1
    assert world.ledger(Kind.DEAD_LETTERS).received == 1  # the lake had them: they were not even sent again


@pytest.mark.parametrize("behind", [LakeWriter, TantivyHotWriter])
def test_the_store_that_is_ahead_skips_what_it_has(
    world: World, monkeypatch: pytest.MonkeyPatch, behind: type[Any]
) -> None:
    world.append(numbered(0, 10))
    world.run()
    world.append(numbered(10, 20), foreign(b"not json"))
    with monkeypatch.context() as patch:
        patch.setattr(behind, "commit", killed_when(lambda self: True))
        with pytest.raises(BytewaxRuntimeError, match="writing output batch"):
            world.run()
    world.reopen()
    world.append(numbered(15, 30))
    world.run()

    assert world.hot_bodies() == world.lake_bodies() == once(30)
    assert world.ledger().received == 36


def killed_when(condition: Callable[[Any], bool]) -> Callable[[Any], None]:
    def commit(self: Any) -> None:
        if condition(self):
            raise RuntimeError("killed")

    return commit


def test_dead_letters_land_once_although_the_flow_died_between_letter_and_checkpoint(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.append(message([line("a"), b"{", line("b"), b"xx"]), foreign(b"nope"))
    with monkeypatch.context() as patch:
        patch.setattr(LakeWriter, "commit", killed_when(lambda self: self.kind is Kind.LOGS))
        for _ in range(2):
            with pytest.raises(BytewaxRuntimeError, match="writing output batch"):
                world.run()
            world.reopen()
    world.run()

    letters = {(row["payload"], row["source_index"], row["reason"]) for row in world.lake_rows("dead_letters")}
    assert letters == {(b"{", 1, "invalid_json"), (b"xx", 3, "invalid_json"), (b"nope", 0, "invalid_json")}
    assert len(world.lake_rows("dead_letters")) == world.ledger().dead_lettered == 3
    assert world.ledger(Kind.DEAD_LETTERS).duplicates > 0
    assert world.lake_bodies() == Counter(["a", "b"])


def test_the_flow_waits_while_dead_letters_cannot_be_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.append(foreign(b"nope"), foreign(line("after")))
    append = type(world.connections.bus).append
    failures: list[str] = []

    def failing(self: Any, topic: str, *rest: Any) -> Any:
        if topic == Kind.DEAD_LETTERS.topic and len(failures) < 2:
            failures.append(topic)
            raise BusError("not now")
        return append(self, topic, *rest)

    monkeypatch.setattr(type(world.connections.bus), "append", failing)
    monkeypatch.setattr("flows.patience.FIRST_PAUSE_S", 0.01)
    world.run()

    assert len(failures) == 2
    assert len(world.lake_rows("dead_letters")) == 1
    assert world.lake_bodies() == Counter(["after"])


@pytest.mark.parametrize("writer", [LakeWriter, TantivyHotWriter])
@pytest.mark.parametrize("step", ["append", "commit"])
def test_a_store_that_cannot_be_written_for_a_while_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch, writer: type[Any], step: str
) -> None:
    real = getattr(writer, step)
    failures: list[int] = []

    def failing(self: Any, *rest: Any) -> Any:
        if len(failures) < 3:
            failures.append(1)
            raise StoreError("not now")
        return real(self, *rest)

    monkeypatch.setattr(writer, step, failing)
    monkeypatch.setattr("flows.patience.FIRST_PAUSE_S", 0.01)
    world.append(numbered(0, 10), numbered(10, 20))
    world.run()

    assert len(failures) == 3
    assert world.hot_bodies() == world.lake_bodies() == once(20)


def test_a_batch_that_the_hot_store_cannot_hold_is_left_to_the_lake(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TantivyHotWriter.append

    def refusing(self: Any, batches: Any) -> None:
        if any(row.body == "n15" for batch in batches for row in batch.rows):
            raise ValueError("poison")
        real(self, batches)

    monkeypatch.setattr(TantivyHotWriter, "append", refusing)
    monkeypatch.setattr("flows.patience.FIRST_PAUSE_S", 0.01)
    world.append(numbered(0, 10), numbered(10, 20), numbered(20, 30))
    world.run()

    assert world.lake_bodies() == once(30)
    day = dt.datetime.fromtimestamp(ARRIVAL_NS / 1e9, dt.UTC).date()
    assert day not in world.connections.hot.days(Kind.LOGS)  # so that reads take the lake


def test_a_row_that_the_lake_cannot_hold_is_a_dead_letter_and_the_others_land(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    import lakehouse.delta.schemas
    import lakehouse.lake.writer

    real = lakehouse.delta.schemas.record_batch

    def refusing(batch: Batch, pipeline: str) -> Any:
        if any(getattr(row, "body", "") == "n5" for row in batch.rows):
            raise OverflowError("poison")
        return real(batch, pipeline)

    monkeypatch.setattr(lakehouse.delta.schemas, "record_batch", refusing)
    monkeypatch.setattr(lakehouse.lake.writer, "record_batch", refusing)
    world.append(message([line(f"n{number}") for number in range(10)] + [b"x"]))
    world.run()

    assert world.lake_bodies() == once(10) - Counter(["n5"])
    assert {(row["stage"], row["source_index"]) for row in world.lake_rows("dead_letters")} == {
        ("lake", 5),
        ("decode", 10),
    }
    assert world.ledger().dead_lettered == len(world.lake_rows("dead_letters")) == 2


def test_messages_that_expired_unread_are_counted_as_lost_and_the_flow_goes_on(world: World) -> None:
    world.append(*(numbered(number, number + 1) for number in range(5)), key="k")
    world.run()
    bus = world.connections.bus
    partition = bus.partition_for(Kind.LOGS.topic, "k")
    world.append(*(numbered(number, number + 1) for number in range(5, 12)), key="k")
    world.settings.__dict__["bus_retention_h"] = 1e-9  # everything is old now
    bus.trim(Kind.LOGS.topic, {partition: 9})
    world.settings.__dict__["bus_retention_h"] = 72.0
    assert bus.extents(Kind.LOGS.topic)[partition].first_offset == 9
    world.run()

    assert world.lake_bodies() == once(5) + once(9, 12)
    assert sum(total.lost for total in world.connections.lake.ledger(None)) == 4
    assert world.connections.hot.days(Kind.LOGS) == []


def test_an_older_copy_of_the_bus_that_ends_before_the_stores_is_refused(world: World) -> None:
    world.append(numbered(0, 10))
    world.connections.close()
    older = {path: path.read_bytes() for path in world.settings.data.glob("bus.db*")}
    world.reopen()
    world.append(numbered(10, 20))
    world.run()
    world.connections.close()
    for path in world.settings.data.glob("bus.db*"):
        path.unlink()
    for path, held in older.items():
        path.write_bytes(held)
    world.reopen()

    with pytest.raises(BytewaxRuntimeError) as raised:
        world.run()
    assert isinstance(raised.value.__cause__, ConfigError)
    assert "older copy" in str(raised.value.__cause__)


def test_damaged_headers_on_the_bus_do_not_stop_it(world: World) -> None:
    good = to_headers(header())
    for headers in ({**good, "headwater-version": "9"}, {"headwater-batch": "{"}, {**good, "headwater-batch": "[]"}):
        world.append(Message(b"bytes", headers), key="k")
    world.append(numbered(0, 3))
    world.run()

    assert world.lake_bodies() == once(3)
    assert {row["payload"] for row in world.lake_rows("dead_letters")} == {b"bytes"}
    assert world.ledger().dead_lettered == 3
