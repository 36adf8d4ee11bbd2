"""Appends -> a Kafka producer, and its delivery reports -> whoever waits for them.

Guarantee: `acks=all` with idempotence; a delivery counts once every in-sync copy has it. A report that does not come in
time is an unknown: the message may arrive later, and others of its time may then be there twice. Readers tell repeats
by the ids in the headers, not by Kafka.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import Message as Report
from confluent_kafka import Producer

from bus.kafka.config import Cluster, producer_options
from bus.kafka.errors import AWAY, UNUSABLE, client_log, config_error, kafka_error
from contracts.errors import BusError
from contracts.messages import Message

POLL_S = 0.2
CLOSE_S = 2.0


class Delivery:
    """What became of the messages of one append. Reports come on another thread."""

    __slots__ = ("_done", "_left", "errors", "offsets")

    def __init__(self, count: int) -> None:
        self.offsets = [-1] * count
        self.errors: list[KafkaError | None] = [None] * count
        self._left = count
        self._done = threading.Event()

    def report(self, index: int, error: KafkaError | None, offset: int) -> None:
        self.offsets[index], self.errors[index] = offset, error
        self._left -= 1  # one thread at a time reports
        if self._left == 0:
            self._done.set()

    def wait(self, timeout_s: float | None) -> bool:
        """False: not all reports came in time."""
        return self._done.wait(timeout_s)


class Sender:
    """Thread-safe. One producer, and a thread that serves its reports."""

    def __init__(self, cluster: Cluster) -> None:
        self.down: KafkaError | None = None  # why no broker can be reached, as far as was heard
        self.fatal: KafkaError | None = None  # this producer will never send again
        options = {**producer_options(cluster), "error_cb": self._on_error}
        try:
            self._producer = Producer(options, logger=client_log("producer"))
        except KafkaException as error:
            raise config_error(error) from error
        self._learnt: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka-reports", daemon=True)
        self._thread.start()

    def learn(self, topic: str, timeout_s: float) -> None:
        """Ask once where `topic` is. What is sent before that is known waits elsewhere, and may be overtaken.

        Raises:
            KafkaException: No broker says.
        """
        if topic not in self._learnt:
            self._producer.list_topics(topic, timeout_s)
            self._learnt.add(topic)

    def send(self, topic: str, partition: int, key: bytes, messages: Sequence[Message]) -> Delivery:
        """Queue `messages` in order; their fate is told by the answer.

        Raises:
            BusError: Nothing was queued.
        """
        delivery = Delivery(len(messages))
        for index, message in enumerate(messages):
            headers: list[tuple[str, str | bytes]] = [(name, value.encode()) for name, value in message.headers.items()]
            done = self._on_report(delivery, index)
            try:
                self._producer.produce(topic, message.payload, key, partition, done, headers=headers)
            except (BufferError, KafkaException) as error:
                found = kafka_error(error) if isinstance(error, KafkaException) else KafkaError(KafkaError._QUEUE_FULL)
                if index == 0 and isinstance(error, BufferError):
                    raise BusError("too much waits to be sent to Kafka already", retry_after_s=2) from error
                for later in range(index, len(messages)):
                    delivery.report(later, found, -1)
                break
        return delivery

    def _on_report(self, delivery: Delivery, index: int) -> Callable[[KafkaError | None, Report], None]:
        def reported(error: KafkaError | None, report: Report) -> None:
            if error is None:
                self.down = None
            offset = report.offset()
            delivery.report(index, error, -1 if offset is None else offset)

        return reported

    def _on_error(self, error: KafkaError) -> None:
        if error.fatal():
            self.fatal = error
        elif error.code() in UNUSABLE and (self.down is None or error.code() not in AWAY):
            self.down = error

    def _serve(self) -> None:
        while not self._stop.is_set():
            self._producer.poll(POLL_S)

    def flush(self) -> None:
        """Send at once what waits for company, and wait a little for its reports; what is left then is given up."""
        if self._producer.flush(CLOSE_S):
            self._producer.purge()
            self._producer.flush(CLOSE_S)

    def close(self) -> None:
        """After `flush`."""
        self._stop.set()
        self._thread.join()
        self._producer.close()  # type: ignore[attr-defined]  # newer than the stubs


@functools.lru_cache(maxsize=4096)
def key_hash(key: bytes) -> int:
    """murmur2 as Kafka's Java clients take it, so that `key_hash(key) % partitions` is where they would put `key`."""
    mask, magic = 0xFFFFFFFF, 0x5BD1E995
    value = (0x9747B28C ^ len(key)) & mask
    whole = len(key) & ~3
    for start in range(0, whole, 4):
        word = int.from_bytes(key[start : start + 4], "little") * magic & mask
        word = (word ^ (word >> 24)) * magic & mask
        value = (value * magic & mask) ^ word
    if whole < len(key):
        value = (value ^ int.from_bytes(key[whole:], "little")) * magic & mask
    value = (value ^ (value >> 13)) * magic & mask
    return (value ^ (value >> 15)) & 0x7FFFFFFF
