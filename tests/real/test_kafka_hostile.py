"""What producers of others may put on a real topic: no header of any kind ends a flow."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from contracts.messages import Kind
from scripts.engines.kafka import Kafka
from tests.flows.messages import TENANT
from tests.flows.running import World
from tests.real.kafka_topics import Topics

HEADERS: tuple[list[tuple[str | bytes, bytes | None]], ...] = (
    [(b"\xff\xfe", b"x")],
    [("\x00a", b"\xff")],
    [("a", None)],
    [("a", b"1"), ("a", b"2")],
    [("headwater-batch", b"\xff\xfe"), ("headwater-version", b"1")],
)


@pytest.fixture
def topics(kafka: Kafka) -> Topics:
    return Topics(kafka.url)


@pytest.fixture
def world(topics: Topics, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, bus_url=topics.url, foreign_tenant=TENANT)
    with contextlib.closing(made.connections):
        yield made
        made.connections.close()


def test_headers_of_any_kind_are_taken_or_make_a_dead_letter(world: World, topics: Topics) -> None:
    assert world.connections.bus.partitions(Kind.LOGS.topic)
    producer = Producer({"bootstrap.servers": topics.bootstrap})
    for headers in HEADERS:
        producer.produce(topics.full(Kind.LOGS.topic), b'{"body": "x"}', partition=0, headers=headers)  # type: ignore[arg-type]  # bytes are taken as names
    producer.produce(topics.full(Kind.LOGS.topic), None, partition=0)
    assert not producer.flush(20)

    world.run()

    total = world.ledger()
    assert (total.received, total.landed, total.dead_lettered) == (5, 4, 1)
