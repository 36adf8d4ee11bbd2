"""Appends -> a Kafka producer, and its delivery reports -> the appends that wait for them.

Guarantee: `acks=all` with idempotence; a message is delivered once every in-sync copy has it. If a report is late, the
outcome is unknown: the message may arrive later, and messages sent with it may arrive twice. The flow finds repeats by
the ids in the headers, not by Kafka.
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
    """Delivery reports of the messages of one append. Another thread calls `report`."""

    __slots__ = ("_done", "_left", "errors", "offsets")

    def __init__(self, count: int) -> None:
        self.offsets = [-1] * count
        self.errors: list[KafkaError | None] = [None] * count
        self._left = count
        self._done = threading.Event()

    def report(self, index: int, error: KafkaError | None, offset: int) -> None:
        self.offsets[index], self.errors[index] = offset, error
        self._left -= 1  # needs no lock: only one thread reports
        if self._left == 0:
            self._done.set()

    def wait(self, timeout_s: float | None) -> bool:
        """False if not all reports came in time."""
        return self._done.wait(timeout_s)


class Sender:
    """Thread-safe. One producer, and a thread that serves its reports."""

    def __init__(self, cluster: Cluster) -> None:
        self.down: KafkaError | None = None  # last reason why no broker can be reached
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
        """Ask once for the brokers of `topic`. Messages sent before the answer may be overtaken by later ones.

        Raises:
            KafkaException: No broker answers.
        """
        if topic not in self._learnt:
            self._producer.list_topics(topic, timeout_s)
            self._learnt.add(topic)

    def send(self, topic: str, partition: int, key: bytes, messages: Sequence[Message]) -> Delivery:
        """Queue `messages` in order; the returned `Delivery` gets their reports.

        Raises:
            BusError: The queue is full; nothing was queued.
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
                    reason = "the queue to Kafka is full: brokers are slow or away"
                    raise BusError(reason, hint="raise HEADWATER_INGEST_BUFFER_MIB", retry_after_s=2) from error
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
        """Send queued messages at once, wait `CLOSE_S` for their reports, and discard the rest."""
        if self._producer.flush(CLOSE_S):
            self._producer.purge()
            self._producer.flush(CLOSE_S)

    def close(self) -> None:
        """Call after `flush`."""
        self._stop.set()
        self._thread.join()
        self._producer.close()  # type: ignore[attr-defined]  # newer than the stubs


@functools.lru_cache(maxsize=4096)
def key_hash(key: bytes) -> int:
    """murmur2 as in Kafka's Java clients: `key_hash(key) % partitions` is the partition that they choose for `key`."""
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
