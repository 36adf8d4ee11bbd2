"""The lag of each store: on /metrics, in /conservation, and while a store does not say where it stands."""

from __future__ import annotations

from typing import Any

import pytest

from contracts.errors import StoreError
from contracts.messages import Kind
from query_api.lags import StoreLag, StoreLags
from tests.flows.messages import line, message
from tests.flows.running import World as Flows
from tests.query_api.world import World, log

SECOND = 10**9


@pytest.fixture
def flows(tmp_path: Any) -> Any:
    made = Flows(tmp_path)
    yield made
    made.connections.close()


def lags_of(flows: Flows) -> StoreLags:
    """A minute after the first message that is on the bus."""
    connections = flows.connections
    return StoreLags(connections.bus, connections.lake, connections.hot, lambda: first_ns(flows) + 60 * SECOND)


def first_ns(flows: Flows) -> int:
    bus = flows.connections.bus
    partition = bus.partition_for(Kind.LOGS.topic, "k")
    return bus.reader(Kind.LOGS.topic, partition, 3).headers(1)[0].appended_ns


def send(flows: Flows, first: int, end: int) -> None:
    flows.append(*(message([line(f"n{number}")], sequence=number) for number in range(first, end)), key="k")


def test_each_store_lacks_what_lies_past_its_checkpoint(flows: Flows) -> None:
    send(flows, 0, 3)
    flows.run(Kind.LOGS)
    send(flows, 3, 5)

    found = {lag.store: lag for lag in lags_of(flows).look() if lag.kind is Kind.LOGS}
    assert found == {
        "hot": StoreLag("hot", Kind.LOGS, 2, 60.0),
        "lake": StoreLag("lake", Kind.LOGS, 2, 60.0),
    }


def test_a_store_that_is_away_is_counted_from_where_it_stood(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    send(flows, 0, 3)
    flows.run(Kind.LOGS)
    send(flows, 3, 4)
    lags = lags_of(flows)
    lags.look()

    def away(*_: object) -> None:
        raise StoreError("away")

    for store in (flows.connections.hot, flows.connections.lake):
        monkeypatch.setattr(type(store), "checkpoints", away)
    monkeypatch.setattr(type(flows.connections.lake), "bases", away)
    send(flows, 4, 9)
    found = {(lag.store, lag.messages, lag.seconds, lag.answers) for lag in lags.look() if lag.kind is Kind.LOGS}
    assert found == {("hot", 6, 60.0, False), ("lake", 6, 60.0, False)}


def test_the_lags_stand_on_metrics_and_beside_the_accounts(world: World) -> None:
    world.send(Kind.LOGS, [log("a")])
    client = world.client()
    answer = client.get("/conservation").json()
    (hot,) = [lag for lag in answer["stores"] if (lag["store"], lag["kind"]) == ("hot", "logs")]
    assert (hot["messages"], hot["answers"]) == (1, True)
    text = client.get("/metrics").text
    assert 'headwater_store_lag_messages{kind="logs",store="lake"} 1.0' in text
    assert 'headwater_store_answers{kind="logs",store="hot"} 1.0' in text


def test_the_account_is_taken_while_the_hot_store_is_away(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object) -> None:
        raise StoreError("away")

    world.send(Kind.LOGS, [log("a")])
    monkeypatch.setattr(type(world.hot), "checkpoints", away)
    (entry,) = [each for each in world.client().get("/conservation").json()["accounts"] if each["kind"] == "logs"]
    assert (entry["in_flight"], entry["difference"]) == (1, 0)
    assert "hot" not in entry["lag"]
