"""The Kafka bus while brokers are away, killed or paused: what was acknowledged is there, and all goes on by itself."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contracts.bus import Bus, Reader
from contracts.errors import BusError, OutcomeUnknown
from contracts.messages import Message
from scripts.engines import kafka as kafka_engine
from scripts.engines.kafka import Kafka
from tests.conftest import needs
from tests.real.kafka_topics import Topics

DEADLINE_S = 6.0


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A broker of this file's own: it is killed and paused."""
    needs(kafka_engine)
    with kafka_engine.running(home=tmp_path_factory.mktemp("one")) as cluster:
        yield cluster


def payloads(bus: Bus, topic: str) -> list[bytes]:
    found: list[bytes] = []
    for partition in bus.partitions(topic):
        with contextlib.closing(bus.reader(topic, partition, 0)) as reader:
            while batch := reader.poll(100):
                found += [message.payload for message in batch]
    return found


def until_taken(bus: Bus, payload: bytes, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while True:
        try:
            bus.append("t", "again", [Message(payload)], timeout_s=DEADLINE_S)
            return
        except BusError:
            assert time.monotonic() < deadline, "was never taken again"


def until_found(reader: Reader, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not reader.poll(9):
        assert time.monotonic() < deadline, "found nothing"
        time.sleep(0.05)


class Writers:
    """Threads that append until the block ends, and what they heard of each message."""

    def __init__(self, bus: Bus, count: int = 4) -> None:
        self._bus = bus
        self._stop = threading.Event()
        self.acknowledged: set[bytes] = set()
        self.refused: set[bytes] = set()
        self.unknown: set[bytes] = set()
        self._pool = ThreadPoolExecutor(count)
        self._work = [self._pool.submit(self._write, number) for number in range(count)]

    def _write(self, writer: int) -> None:
        number = 0
        while not self._stop.is_set():
            payload = b"%d/%d" % (writer, number)
            number += 1
            try:
                self._bus.append("t", f"writer {writer}", [Message(payload)], timeout_s=DEADLINE_S)
                self.acknowledged.add(payload)
            except OutcomeUnknown:
                self.unknown.add(payload)
            except BusError:
                self.refused.add(payload)
                time.sleep(0.05)

    def __enter__(self) -> Writers:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        for work in self._work:
            work.result()

    def until_more(self, within_s: float = 30.0) -> None:
        """Wait until something more is acknowledged."""
        enough, deadline = len(self.acknowledged) + 20, time.monotonic() + within_s
        while len(self.acknowledged) < enough:
            assert time.monotonic() < deadline, "nothing is taken"
            time.sleep(0.05)


def check(bus: Bus, writers: Writers) -> None:
    found = payloads(bus, "t")
    assert writers.acknowledged <= set(found), "an acknowledged message is lost"
    assert not writers.refused & set(found), "a refused message is there"
    assert set(found) <= writers.acknowledged | writers.unknown | {b"after"}


def test_a_broker_that_is_killed_under_appends_loses_nothing_that_was_acknowledged(one: Kafka) -> None:
    topics = Topics(one.url)
    with topics.bus() as bus:
        until_taken(bus, b"after")
        with Writers(bus) as writers:
            writers.until_more()
            one.nodes[0].kill()
            time.sleep(1)
            one.nodes[0].start()
            until_taken(bus, b"after")
            writers.until_more()
        check(bus, writers)


def test_a_paused_broker_is_an_unknown_within_the_deadline_and_works_on_when_it_is_back(one: Kafka) -> None:
    topics = Topics(one.url)
    with topics.bus() as bus:
        until_taken(bus, b"first")
        with contextlib.closing(bus.reader("t", bus.partition_for("t", "again"), 0)) as reader:
            assert len(reader.poll(9)) == 1
            one.nodes[0].pause()
            try:
                began = time.monotonic()
                with pytest.raises(OutcomeUnknown, match="in time"):
                    bus.append("t", "again", [Message(b"second")], timeout_s=1)
                assert time.monotonic() - began < DEADLINE_S
                with pytest.raises(BusError):
                    bus.extents("t")
                assert list(reader.poll(9)) == []
            finally:
                one.nodes[0].resume()
            until_taken(bus, b"third")
            assert [message.payload for message in reader.poll(9)][-1] == b"third"
        assert set(payloads(bus, "t")) == {b"first", b"second", b"third"}


def test_a_broker_that_is_away_at_the_start_is_found_when_it_comes(one: Kafka) -> None:
    topics = Topics(one.url)
    one.nodes[0].stop()
    try:
        began = time.monotonic()
        with topics.bus() as bus:
            assert time.monotonic() - began < DEADLINE_S
            with pytest.raises(BusError, match="does not answer") as caught:
                bus.append("t", "k", [Message(b"refused")], timeout_s=1)
            assert not isinstance(caught.value, OutcomeUnknown)
            assert "HEADWATER_BUS_URL" in caught.value.hint
            for question in (lambda: bus.append("t", "k", ()), lambda: bus.extents("t"), lambda: bus.partitions("t")):
                with pytest.raises(BusError, match="does not answer"):
                    question()
            one.nodes[0].start()
            until_taken(bus, b"after")
            assert payloads(bus, "t") == [b"after"]
    finally:
        if not one.nodes[0].is_running:
            one.nodes[0].start()


def test_a_broker_that_goes_away_refuses_at_once_what_was_not_sent(one: Kafka) -> None:
    topics = Topics(one.url)
    with topics.bus() as bus:
        until_taken(bus, b"first")
        with contextlib.closing(bus.reader("t", 0, 0)) as reader:
            one.nodes[0].kill()
            try:
                refusal: BusError | None = None
                while refusal is None or isinstance(refusal, OutcomeUnknown):
                    with pytest.raises(BusError) as caught:
                        bus.append("t", "k", [Message(b"never")], timeout_s=1)
                    refusal = caught.value
                with pytest.raises(BusError, match="does not answer"):
                    until_found(reader)
            finally:
                one.nodes[0].start()
            until_taken(bus, b"after")


def test_closing_while_brokers_are_away_ends(one: Kafka) -> None:
    topics = Topics(one.url)
    with topics.bus() as bus:
        until_taken(bus, b"first")
        one.nodes[0].pause()
        try:
            with ThreadPoolExecutor(1) as pool:
                waiting = pool.submit(bus.append, "t", "k", [Message(b"left")])
                time.sleep(0.3)
                bus.close()
                with pytest.raises(OutcomeUnknown):
                    waiting.result(timeout=30)
        finally:
            one.nodes[0].resume()


def test_the_loss_of_one_broker_of_three_loses_nothing_and_stops_nothing(tmp_path: Path) -> None:
    needs(kafka_engine)
    with kafka_engine.running(brokers=3, home=tmp_path) as cluster:
        topics = Topics(cluster.url)
        with topics.bus() as bus:
            until_taken(bus, b"after")
            with Writers(bus) as writers:
                writers.until_more()
                for node in cluster.nodes[1:]:
                    node.kill()
                    time.sleep(0.5)  # what was in flight has been answered by now
                    writers.until_more()
                    node.start()
                    writers.until_more()
            check(bus, writers)
