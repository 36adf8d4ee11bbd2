"""What a start of a flow fetches from Kafka: what it does not know yet; and everything once what was saved is gone."""

from __future__ import annotations

import contextlib
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Message as Fetched

from bus.kafka.reader import KafkaReader
from contracts.messages import Kind
from flows.read.saved_repeats import FOLDER
from scripts.engines.kafka import Kafka
from tests.flows.messages import line, message
from tests.flows.running import World
from tests.real.kafka_topics import Topics

MESSAGES, LINES = 300, 20


@pytest.fixture
def topics(kafka: Kafka) -> Topics:
    return Topics(kafka.url)


@pytest.fixture
def world(topics: Topics, tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, bus_url=topics.url)
    with contextlib.closing(made.connections):
        yield made
        made.connections.close()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each message of logs that came over the wire."""
    sizes: list[int] = []
    real = KafkaReader._take

    def take(self: KafkaReader, message: Fetched) -> None:
        if message.error() is None and Kind.LOGS.topic in str(message.topic()):
            sizes.append(len(message.value() or b""))
        real(self, message)

    monkeypatch.setattr(KafkaReader, "_take", take)
    return sizes


def test_a_start_fetches_only_what_came_after(world: World, fetched: list[int]) -> None:
    rng = random.Random(7)
    sent = [
        message([line(rng.randbytes(40).hex()) for _ in range(LINES)], sequence=number * LINES)
        for number in range(MESSAGES)
    ]
    world.append(*sent, key="k")
    world.run()
    first = sum(fetched), len(fetched)
    fetched.clear()

    world.reopen()
    world.append(sent[17], message([line("new")], sequence=MESSAGES * LINES), key="k")
    world.run()
    again = sum(fetched), len(fetched)
    fetched.clear()

    shutil.rmtree(Path(world.settings.lake) / FOLDER)
    world.reopen()
    world.append(sent[17], key="k")
    world.run()
    without = sum(fetched), len(fetched)

    print(f"bytes and messages: first {first}, restart {again}, without what was saved {without}")
    assert first[1] >= MESSAGES
    assert again[1] == 2
    assert without[1] >= MESSAGES + 3
    assert world.ledger().duplicates == 2 * LINES
    assert set(world.lake_bodies().values()) == {1}
