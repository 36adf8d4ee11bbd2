"""Flows and the account over a real broker: repeats, dead letters, messages of others, gaps, what expired unread."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from contracts.messages import Kind
from lakehouse.upkeep.care import Care
from orchestration.due.backlog import AT_RISK, LOST, bus_risk, kafka_limits
from query_api.account import Account, Ledgers, take
from scripts.engines.kafka import Kafka
from tests.flows.messages import TENANT, line, message
from tests.flows.running import World
from tests.real.kafka_topics import Topics

LOGS = Kind.LOGS.topic


@pytest.fixture
def topics(kafka: Kafka) -> Topics:
    return Topics(kafka.url)


@pytest.fixture
def world(topics: Topics, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, bus_url=topics.url, foreign_tenant=TENANT)
    with contextlib.closing(made.connections):
        yield made
        made.connections.close()


def logs_account(world: World) -> Account:
    ledgers = Ledgers(world.connections.bus, world.connections.lake, world.connections.hot, TENANT)
    entries = take(ledgers, TENANT)
    assert not any(entry.difference for entry in entries)
    return next(entry for entry in entries if entry.kind is Kind.LOGS)


def test_repeats_are_dropped_and_what_cannot_be_used_is_a_dead_letter_also_after_a_restart(world: World) -> None:
    first = message([line("a"), b"no json", line("b")], sequence=0)
    world.append(first, first, message([line("c")], sequence=3))
    world.run()
    world.reopen()
    world.append(first, message([line("d")], sequence=4))
    waiting = logs_account(world)
    assert (waiting.in_flight, waiting.lag["lake"].messages) == (4, 2)
    world.run()

    assert world.hot_bodies() == world.lake_bodies() == {"a": 1, "b": 1, "c": 1, "d": 1}
    total = logs_account(world)
    assert (total.received, total.visible, total.duplicates, total.dead_lettered) == (11, 4, 6, 1)


def test_what_brokers_may_forget_before_it_has_landed_is_at_risk_then_lost_then_counted(
    topics: Topics, tmp_path: Path
) -> None:
    world = World(tmp_path, bus_url=topics.url, foreign_tenant=TENANT, bus_risk_percent=1e-7)
    with contextlib.closing(world.connections), contextlib.closing(Care(world.settings)) as care:
        bus = world.connections.bus
        assert bus_risk(care, bus) == []
        world.append(*(message([line(f"n{number}")], sequence=number) for number in range(5)), key="k")
        partition = bus.partition_for(LOGS, "k")
        (limits,) = [each for place, each in kafka_limits(world.settings).items() if place == (Kind.LOGS, partition)]
        assert limits.age_s == 72 * 3600
        assert limits.size_bytes > limits.held_bytes > 0
        time.sleep(1)
        (risk,) = bus_risk(care, bus)
        assert (risk.name, risk.partition, risk.messages) == (AT_RISK, partition, 5)
        topics.expire(LOGS, partition, 3)
        assert [(risk.name, risk.messages) for risk in bus_risk(care, bus)] == [(LOST, 3), (AT_RISK, 2)]
        world.run()
        assert bus_risk(care, bus) == []
        assert logs_account(world).lost == 3


def test_what_expired_unread_is_counted_as_lost_and_the_flow_goes_on(world: World, topics: Topics) -> None:
    world.append(*(message([line(f"n{number}")], sequence=number) for number in range(5)), key="k")
    partition = world.connections.bus.partition_for(LOGS, "k")
    topics.expire(LOGS, partition, 3)

    world.run()

    assert world.lake_bodies() == {"n3": 1, "n4": 1}  # the hot store leaves days that may miss something to the lake
    total = logs_account(world)
    assert (total.lost, total.received, total.visible) == (3, 2, 2)


def test_messages_of_others_and_the_gaps_of_their_transactions_are_taken(world: World, topics: Topics) -> None:
    world.append(*(message([line(f"n{number}")], sequence=number) for number in range(3)), key="k")
    partition = world.connections.bus.partition_for(LOGS, "k")
    producer = Producer({"bootstrap.servers": topics.bootstrap, "transactional.id": topics.prefix})
    producer.init_transactions(20)
    for end in (producer.commit_transaction, producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        producer.produce(topics.full(LOGS), line("foreign"), partition=partition)
        producer.produce(topics.full(LOGS), None, key=b"deleted", partition=partition)
        end(20)
    late = [message([line(f"n{number}")], sequence=number) for number in range(2, 5)]
    world.append(*late, key="k")
    world.run()
    world.reopen()
    world.append(message([line("n5")], sequence=5), *late, key="k")  # what a start reads before it ends with `late`
    world.run()

    bodies = {**{f"n{number}": 1 for number in range(6)}, "foreign": 2}
    assert world.lake_bodies() == world.hot_bodies() == bodies
    assert logs_account(world).duplicates == 4
