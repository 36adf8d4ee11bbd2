"""The Kafka bus on a real broker: what others put there, what is too large, what expires, what is deleted."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer

from bus.kafka.sender import key_hash
from contracts.bus import Bus, Extent, Reader
from contracts.errors import BusError, OffsetExpired
from contracts.messages import Message, from_headers
from scripts.engines.kafka import Kafka
from tests.real.kafka_topics import Topics, batch


@pytest.fixture
def topics(kafka: Kafka) -> Topics:
    return Topics(kafka.url)


def messages(*payloads: bytes) -> list[Message]:
    return [Message(payload) for payload in payloads]


def everything(reader: Reader) -> list[Message]:
    found: list[Message] = []
    while batch := reader.poll(7):
        found += batch
    return found


def read(bus: Bus, topic: str, partition: int, offset: int = 0) -> list[Message]:
    with contextlib.closing(bus.reader(topic, partition, offset)) as reader:
        return everything(reader)


def eventually(look: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not look():
        assert time.monotonic() < deadline, "did not come true"
        time.sleep(0.05)


def test_a_key_lands_where_javas_clients_would_put_it() -> None:
    from kafka.partitioner.default import murmur2

    for length in range(50):
        key = os.urandom(length)
        assert key_hash(key) == murmur2(key) & 0x7FFFFFFF


def test_messages_of_others_come_through_without_headers_values_or_plain_text(topics: Topics) -> None:
    topics.create("t", partitions=1)
    producer = Producer({"bootstrap.servers": topics.bootstrap, "compression.type": "gzip"})
    producer.produce(topics.full("t"), b'{"body": "foreign"}')
    producer.produce(topics.full("t"), None, key=b"deleted")
    headers: Any = [("a", None), ("b", b"\xff"), ("c", b"1"), ("c", b"2")]
    producer.produce(topics.full("t"), b"x", headers=headers)
    assert producer.flush(10) == 0
    with topics.bus() as bus:
        found = read(bus, "t", 0)

    assert [message.payload for message in found] == [b'{"body": "foreign"}', b"", b"x"]
    assert [dict(message.headers) for message in found] == [{}, {}, {"a": "", "b": "\ufffd", "c": "2"}]
    assert all(abs(message.appended_ns - time.time_ns()) < 60e9 for message in found)


def test_gaps_that_transactions_leave_are_passed_and_what_was_aborted_is_not_seen(topics: Topics) -> None:
    topics.create("t", partitions=1)
    producer = Producer({"bootstrap.servers": topics.bootstrap, "transactional.id": topics.prefix})
    producer.init_transactions(20)
    for number, end in enumerate((producer.commit_transaction, producer.abort_transaction) * 2):
        producer.begin_transaction()
        producer.produce(topics.full("t"), b"%d" % number)
        producer.flush(10)
        end(10)
    with topics.bus() as bus:
        # message, marker, aborted message, marker, and the same again
        eventually(lambda: dict(bus.extents("t")) == {0: Extent(0, 8)})
        assert [(each.payload, each.offset) for each in read(bus, "t", 0)] == [(b"0", 0), (b"2", 4)]
        with contextlib.closing(bus.reader("t", 0, 5)) as reader:
            assert list(reader.poll(9)) == []
            assert list(bus.append("t", "k", messages(b"4"))) == [8]
            assert [each.offset for each in reader.poll(9)] == [8]
        with contextlib.closing(bus.reader("t", 0, 1)) as reader:
            assert [each.offset for each in reader.headers(9)] == [4, 8]


def test_an_offset_that_retention_removed_is_told_at_the_opening_and_under_way(topics: Topics) -> None:
    topics.create("t", partitions=1, max_message_bytes="2000000")
    with topics.bus() as bus:
        for _ in range(40):  # more than a reader fetches ahead
            bus.append("t", "k", messages(os.urandom(1_000_000)))
        with contextlib.closing(bus.reader("t", 0, 0)) as reader:
            assert [each.offset for each in reader.poll(1)] == [0]
            topics.expire("t", 0, 38)
            with pytest.raises(OffsetExpired, match="retention") as caught:
                everything(reader)
            assert caught.value.first_offset == 38
            for look in (reader.poll, reader.headers):
                with pytest.raises(OffsetExpired):
                    look(10)
        assert bus.extents("t") == {0: Extent(38, 40)}
        with pytest.raises(OffsetExpired) as caught:
            bus.reader("t", 0, 37)
        assert caught.value.first_offset == 38
        assert [each.offset for each in read(bus, "t", 0, 38)] == [38, 39]


def test_a_batch_too_large_for_the_topic_is_split_by_lines_and_keeps_its_numbers(topics: Topics) -> None:
    topics.create("t", partitions=1, max_message_bytes="100000")
    lines = [b"" if number % 7 == 3 else os.urandom(500).hex().encode() for number in range(300)]
    with topics.bus() as bus:
        for producer in ("agent", "key:k", "req:r"):
            start = bus.extents("t")[0].next_offset
            (offset,) = bus.append("t", "k", [batch(lines, producer, sequence=1000)])
            found = read(bus, "t", 0, start)

            assert found[-1].offset == offset
            headers = [from_headers(each.headers) for each in found]
            assert len(headers) == 4
            assert b"\n".join(each.payload for each in found).split(b"\n") == lines
            following = 1000
            for header, part in zip(headers, found, strict=True):
                assert header is not None
                assert (header.producer, header.sequence) == (producer, following)
                assert header.count == sum(1 for line in part.payload.split(b"\n") if line)
                following += header.span
            assert following == 1300
            streams = {header.stream for header in headers if header}
            assert len(streams) == (1 if producer == "agent" else 4)


def test_what_is_too_large_and_cannot_be_split_is_refused_and_says_what_to_do(topics: Topics) -> None:
    topics.create("t", partitions=1, max_message_bytes="100000")
    with topics.bus() as bus:
        for message in (
            Message(b"x" * 200_000),
            batch([b"x" * 200_000]),
            Message(b"x" * 200_000, {"headwater-batch": "?"}),
        ):
            with pytest.raises(BusError, match="large") as caught:
                bus.append("t", "k", [message])
            assert "max.message.bytes" in caught.value.hint
        assert bus.extents("t") == {0: Extent(0, 0)}
        assert list(bus.append("t", "k", messages(b"small"))) == [0]


def test_a_topic_that_is_deleted_is_said_and_used_again_when_it_is_back(topics: Topics) -> None:
    topics.create("t")
    with topics.bus() as bus:
        bus.append("t", "k", messages(b"0", b"1"))
        with contextlib.closing(bus.reader("t", bus.partition_for("t", "k"), 0)) as reader:
            assert len(everything(reader)) == 2
            topics.delete("t")
            with pytest.raises(BusError, match="does not exist") as caught:
                eventually(lambda: bus.append("t", "k", messages(b"2"), timeout_s=8) == [])
            assert "headwater topics apply" in caught.value.hint
            with pytest.raises(BusError, match="does not exist"):
                eventually(lambda: reader.poll(1) != [])
            with pytest.raises(BusError, match="does not exist"):
                bus.extents("t")

            topics.create("t")
            again: list[int] = []

            def append() -> bool:
                with contextlib.suppress(BusError):
                    again.extend(bus.append("t", "k", messages(b"3"), timeout_s=8))
                return bool(again)

            eventually(append)
            assert again == [0]
            # Never skips, and its offset means another message now.
            with pytest.raises(BusError, match=r"new topic|made again"):
                eventually(lambda: reader.poll(1) != [])


def test_without_leave_to_make_topics_a_missing_one_is_said(topics: Topics) -> None:
    with topics.bus(bus_topics_apply=False) as bus, pytest.raises(BusError, match="does not exist") as caught:
        bus.append("t", "k", messages(b"0"))
    assert "headwater topics apply" in caught.value.hint


def test_progress_is_shown_to_kafkas_tools(topics: Topics) -> None:
    topics.create("t")
    group = f"g-{topics.prefix}"
    with topics.bus(bus_group=group) as bus, topics.admin() as admin:
        bus.append("t", "k", messages(b"0", b"1"))
        assert bus.trim("t", {0: 1, 1: 2}) == 0

        def shown() -> bool:
            offsets = admin.list_group_offsets(group)[group]
            return {place.partition: each.offset for place, each in offsets.items()} == {0: 1, 1: 2}

        eventually(shown)


def test_partitions_that_were_added_are_used_after_a_look(topics: Topics) -> None:
    topics.create("t", partitions=1)
    with topics.bus() as bus, topics.admin() as admin:
        assert list(bus.partitions("t")) == [0]
        admin.create_partitions({topics.full("t"): 3})
        eventually(lambda: list(bus.partitions("t")) == [0, 1, 2])
        assert {bus.partition_for("t", f"key {number}") for number in range(20)} == {0, 1, 2}
        eventually(lambda: bus.extents("t").keys() == {0, 1, 2})
        key = next(f"key {number}" for number in range(20) if bus.partition_for("t", f"key {number}") == 2)
        bus.append("t", key, messages(b"0"))
        assert [each.payload for each in read(bus, "t", 2)] == [b"0"]


def test_readers_of_many_partitions_stay_small(topics: Topics) -> None:
    import psutil

    topics.create("t", partitions=16)
    with topics.bus() as bus, contextlib.ExitStack() as opened:
        for number in range(200):
            bus.append("t", f"key {number}", messages(os.urandom(500_000)))
        before = psutil.Process().memory_info().rss
        readers = [opened.enter_context(contextlib.closing(bus.reader("t", index, 0))) for index in range(16)]
        assert sum(len(everything(reader)) for reader in readers) == 200
        assert psutil.Process().memory_info().rss - before < 96 << 20
