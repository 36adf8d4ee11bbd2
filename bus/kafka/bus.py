"""The bus on Apache Kafka: topics and partitions of a cluster, for any number of processes and machines.

Guarantee: an append that returned is on every in-sync copy (`acks=all`, `min.insync.replicas` of the topic). After
`OutcomeUnknown` the messages may be stored, also later than the call, and also twice: the flow drops repeats by the ids
in the headers. The messages of one append are stored in order. If only some of them were stored, the append raises
`OutcomeUnknown`; send all of them again.

Parallelism: partitions; a key has the same partition as with Kafka's Java clients (murmur2). One producer a process,
one consumer a reader. While brokers are away, opening does not block, an append blocks until its deadline, other calls
3 s. Clients reconnect by themselves.

Not handled: retention. Kafka removes messages by time and size, whether they were read or not (`bus/topics.toml`).
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from bus.kafka.config import Cluster, cluster_of, reader_options
from bus.kafka.errors import APPLY, ASK_S, GONE, REFUSED, TOO_LARGE, asked, bus_error, config_error, kafka_error
from bus.kafka.identity import Identities, Watch
from bus.kafka.reader import KafkaReader
from bus.kafka.sender import CLOSE_S, Delivery, Sender, key_hash
from bus.kafka.split import halves
from bus.topics import topic_named
from contracts.bus import Extent, Reader
from contracts.errors import BusError, OutcomeUnknown
from contracts.messages import Message
from contracts.settings import Settings

PROBE_S = 1.0
REFRESH_S = 60.0  # how long the number of a topic's partitions is cached
APPEAR_S = 5.0  # longest wait until all brokers know a new topic
FIRST, LAST = -2, -1  # timestamps by which Kafka names the first and the next offset of a partition
log = logging.getLogger("headwater.bus")
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}\Z")


@dataclass(frozen=True, slots=True)
class _Known:
    partitions: int
    since_s: float


class KafkaBus:
    """See `contracts.bus.Bus`."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._cluster: Cluster = cluster_of(url, settings)
        self._settings = settings
        self._process = os.getpid()
        self._gate = threading.Condition()
        self._inside = 0
        self._closed = False
        self._making = threading.Lock()
        self._topics: dict[str, _Known] = {}
        self._ends: dict[tuple[str, int], int] = {}
        self._identities = Identities(self._cluster)
        self._watches: dict[str, Watch] = {}
        self._sender = Sender(self._cluster)
        try:
            self._asker = Consumer(reader_options(self._cluster))
        except KafkaException as error:
            raise config_error(error) from error

    def append(
        self, topic: str, key: str, messages: Sequence[Message], timeout_s: float | None = None
    ) -> Sequence[int]:
        with self._entered():
            until_s = None if timeout_s is None else time.monotonic() + timeout_s
            sender = self._usable_sender(topic, timeout_s)
            partitions = self._count(topic, timeout_s)
            self._learn(sender, topic, timeout_s)
            if not messages:
                return ()
            raw_key = key.encode(errors="surrogatepass")
            partition = key_hash(raw_key) % partitions
            for message in messages:
                if not isinstance(message.payload, bytes):
                    raise TypeError(f"a payload must be bytes, not {type(message.payload).__name__}")
            delivery = sender.send(self._cluster.topic(topic), partition, raw_key, messages)
            offsets = self._settled(topic, partition, raw_key, messages, delivery, until_s)
            place = (topic, partition)
            self._ends[place] = max(self._ends.get(place, 0), max(offsets) + 1)
            return offsets

    def _settled(
        self,
        topic: str,
        partition: int,
        key: bytes,
        messages: Sequence[Message],
        delivery: Delivery,
        until_s: float | None,
    ) -> list[int]:
        """The offsets once all messages are stored. A message that is too large for the topic is sent in parts."""
        if not delivery.wait(None if until_s is None else max(0.0, until_s - time.monotonic())):
            raise OutcomeUnknown(f"{self._cluster.shown} did not acknowledge in time", retry_after_s=2)
        stored = sum(error is None for error in delivery.errors)
        offsets = list(delivery.offsets)
        for index, error in enumerate(delivery.errors):
            if error is None:
                continue
            parts = halves(messages[index]) if error.code() in TOO_LARGE else ()
            if not parts:
                raise self._failure(topic, error, stored)
            for part in parts:  # one by one: a batch of both parts would be too large again
                try:
                    again = self._sender.send(self._cluster.topic(topic), partition, key, [part])
                    (offsets[index],) = self._settled(topic, partition, key, [part], again, until_s)
                except OutcomeUnknown:
                    raise
                except BusError as failure:
                    if stored:
                        raise OutcomeUnknown(f"{failure}; a part was stored", hint=failure.hint) from failure
                    raise
                stored += 1
        return offsets

    def _failure(self, topic: str, error: KafkaError, stored: int) -> BusError:
        failure = bus_error(error, f'topic "{self._cluster.topic(topic)}"')
        if error.code() in REFUSED and not stored:
            return failure
        reason = f"{failure}; the messages may be stored"
        return OutcomeUnknown(reason, hint=failure.hint, retry_after_s=failure.retry_after_s)

    def partitions(self, topic: str) -> Sequence[int]:
        with self._entered():
            return range(self._count(topic, fresh=True))

    def partition_for(self, topic: str, key: str) -> int:
        with self._entered():
            return key_hash(key.encode(errors="surrogatepass")) % self._count(topic)

    def reader(self, topic: str, partition: int, offset: int) -> Reader:
        with self._entered():
            if not 0 <= partition < self._count(topic) or offset < 0:
                raise ValueError(f'topic "{topic}" has no partition {partition} with an offset {offset}')
            return KafkaReader(
                self._cluster,
                topic,
                partition,
                offset,
                lambda: self._extent(topic, partition),
                lambda: self._ends.get((topic, partition), 0),
                self._watches.setdefault(topic, Watch(lambda: self.identity(topic))),
            )

    def extents(self, topic: str) -> Mapping[int, Extent]:
        with self._entered():
            count = self._count(topic, fresh=True)
            first, last = (self._edges(topic, count, edge) for edge in (FIRST, LAST))
            return {index: Extent(first[index], max(first[index], last[index])) for index in range(count)}

    def identity(self, topic: str) -> str:
        with self._entered():
            self._count(topic)
            return self._identities.of(self._cluster.topic(topic))

    def _extent(self, topic: str, partition: int) -> Extent:
        with self._entered():
            place = TopicPartition(self._cluster.topic(topic), partition)
            try:
                low, high = asked(lambda: self._asker.get_watermark_offsets(place, ASK_S))
            except KafkaException as error:
                raise bus_error(kafka_error(error), f'topic "{place.topic}"') from error
            return Extent(low, high)

    def _edges(self, topic: str, count: int, edge: int) -> dict[int, int]:
        name = self._cluster.topic(topic)

        def ask() -> dict[int, int]:
            places = [TopicPartition(name, index, edge) for index in range(count)]
            found = self._asker.offsets_for_times(places, ASK_S)
            for each in found:
                if each.error is not None:
                    raise KafkaException(each.error)
            return {each.partition: each.offset for each in found}

        try:
            return asked(ask)
        except KafkaException as error:
            raise bus_error(kafka_error(error), f'topic "{name}"') from error

    def trim(self, topic: str, consumed: Mapping[int, int]) -> int:
        """Remove nothing, as Kafka has its own retention. Show our progress to Kafka's tools; failures are harmless."""
        with self._entered():
            name = self._cluster.topic(topic)
            if consumed:
                with contextlib.suppress(KafkaException):
                    places = [TopicPartition(name, partition, offset) for partition, offset in consumed.items()]
                    self._asker.commit(offsets=places, asynchronous=True)
                    self._asker.poll(0)  # takes the results of earlier commits
            return 0

    def size_bytes(self) -> int:
        return 0

    def close(self) -> None:
        if self._closed or self._process != os.getpid():
            self._closed = True
            return
        self._closed = True
        self._sender.flush()
        with self._gate:
            self._gate.wait_for(lambda: not self._inside, CLOSE_S + ASK_S)
        self._sender.close()
        self._asker.close()

    def _usable_sender(self, topic: str, timeout_s: float | None) -> Sender:
        """A producer that can send, as far as known. If the last news was that all brokers are down, asks them first.

        Raises:
            BusError: No broker answers; nothing was sent.
        """
        sender = self._sender
        if sender.fatal is not None:
            with self._making:
                if self._sender is sender:
                    self._sender = Sender(self._cluster)
                    sender.close()
            sender = self._sender
        if sender.down is not None:
            down = sender.down
            try:
                self._asker.list_topics(
                    self._cluster.topic(topic), PROBE_S if timeout_s is None else min(PROBE_S, timeout_s)
                )
            except KafkaException as error:
                raise bus_error(down, self._cluster.shown) from error
            sender.down = None
        return sender

    def _learn(self, sender: Sender, topic: str, timeout_s: float | None) -> None:
        try:
            sender.learn(self._cluster.topic(topic), ASK_S if timeout_s is None else min(ASK_S, timeout_s))
        except KafkaException as error:
            raise bus_error(sender.down or kafka_error(error), self._cluster.shown) from error

    def _count(self, topic: str, timeout_s: float | None = None, fresh: bool = False) -> int:
        """Number of partitions of `topic`. Creates an unknown topic, but not one that existed and was deleted."""
        known = self._topics.get(topic)
        if known is not None and not fresh and time.monotonic() - known.since_s < REFRESH_S:
            return known.partitions
        if not _TOPIC.match(topic):
            raise ValueError(f'topic "{topic}" must be 1 to 249 of A-Z, a-z, 0-9, ".", "_", "-"')
        wait_s = ASK_S if timeout_s is None else min(ASK_S, timeout_s)
        found = self._ask_count(topic, wait_s)
        if not found and known is None and self._settings.bus_topics_apply:
            found = self._make(topic)
        if not found:
            raise BusError(f'topic "{self._cluster.topic(topic)}" does not exist', hint=APPLY)
        if known is None or known.partitions != found:
            self._compare(topic, found, known)
        self._topics[topic] = _Known(found, time.monotonic())
        return found

    def _compare(self, topic: str, found: int, known: _Known | None) -> None:
        name = self._cluster.topic(topic)
        if known is not None:
            log.warning("topic %s has %d partitions now, it had %d: restart the flows", name, found, known.partitions)
        elif found < (wanted := topic_named(topic, self._settings, 1).partitions):
            log.warning("topic %s has %d partitions, %d are declared: run headwater topics apply", name, found, wanted)

    def _ask_count(self, topic: str, timeout_s: float) -> int:
        """Number of partitions; 0 if the topic does not exist."""
        name = self._cluster.topic(topic)
        try:
            described = self._asker.list_topics(name, timeout_s).topics[name]
        except KafkaException as error:
            raise bus_error(self._sender.down or kafka_error(error), self._cluster.shown) from error
        if described.error is not None and described.error.code() not in GONE:
            raise bus_error(described.error, f'topic "{name}"')
        return len(described.partitions)

    def _make(self, topic: str) -> int:
        from bus.kafka.admin import make_topic

        with self._making:
            if not (found := self._ask_count(topic, ASK_S)):
                make_topic(self._cluster, topic)
        until_s = time.monotonic() + APPEAR_S
        while not (found := self._ask_count(topic, ASK_S)) and time.monotonic() < until_s:
            time.sleep(0.02)
        if found:
            self._edges(topic, found, LAST)  # wait for its leaders: otherwise the first messages may get out of order
        return found

    @contextlib.contextmanager
    def _entered(self) -> Iterator[None]:
        """Wraps every call: `close` waits until no call is running, as no call may use a closed client."""
        if self._process != os.getpid():
            raise BusError("the bus was opened before a fork: open it again in this process")
        with self._gate:
            if self._closed:
                raise BusError("the bus is closed: open it again")
            self._inside += 1
        try:
            yield
        finally:
            with self._gate:
                self._inside -= 1
                if not self._inside:
                    self._gate.notify_all()
