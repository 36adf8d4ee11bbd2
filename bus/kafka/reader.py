"""A cursor: one partition of a topic -> messages, by a consumer of its own at explicit offsets.

`poll` returns messages that were fetched ahead. It waits only for messages that surely exist: those before the end that
the partition had when the cursor was opened, and those that this process appended. Offsets may have gaps (transactions
of other producers). Kafka reports the end of the partition with its offset, so a gap before the end ends the wait too.

Memory: about 2 MiB fetched ahead, and a response of up to 4 MiB in flight. Opening costs about 25 ms.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, KafkaError, KafkaException
from confluent_kafka import Message as Fetched
from confluent_kafka import TopicPartition

from bus.kafka.config import Cluster, reader_options
from bus.kafka.errors import GONE, OUT_OF_RANGE, UNUSABLE, bus_error, config_error
from bus.kafka.identity import Watch
from contracts.bus import Extent
from contracts.errors import BusError, OffsetExpired
from contracts.messages import Message

WAIT_S = 2.0  # longest wait for messages that surely exist
QUIET_S = 5.0  # without a message for so long, check the partition
CHUNK = 64  # messages taken from the client at once, and held in memory
MS = 1_000_000


class KafkaReader:
    """See `contracts.bus.Reader`.

    `extent` asks for the extent of the partition. `appended_end` gives the end of the appends of this process.
    `watch` gives the id of the topic: the reader never reads a new topic that has the same name.
    """

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        partition: int,
        offset: int,
        extent: Callable[[], Extent],
        appended_end: Callable[[], int],
        watch: Watch,
    ) -> None:
        self._place = TopicPartition(cluster.topic(topic), partition)
        self._name = f"{topic}/{partition}"
        self._offset = offset
        self._extent = extent
        self._appended_end = appended_end
        self._process = os.getpid()
        self._held: deque[Message] = deque()
        self._trouble: KafkaError | None = None
        self._assigned = False
        self._heard_s = 0.0
        self._reached = False  # True once the partition has reached the cursor
        self._end = 0  # messages before this offset surely exist
        self._watch = watch
        self._identity = ""
        self._fetched_s = 0.0  # time of the last fetched message in `_held`
        self._seen_end = 0  # end of the partition as a fetch reported it, after a gap if there is one
        try:
            self._consumer: Consumer | None = Consumer({**reader_options(cluster), "error_cb": self._on_error})
        except KafkaException as error:
            raise config_error(error) from error
        try:
            self._identity = watch.now()
            self._assign()
        except BaseException:
            self.close()
            raise

    def poll(self, limit: int, max_bytes: int = 4 << 20) -> Sequence[Message]:
        found: list[Message] = []
        size_bytes = 0
        while len(found) < limit and (message := self._next(limit - len(found), found)) is not None:
            size_bytes += len(message.payload)
            if found and size_bytes > max_bytes:
                break
            found.append(self._held.popleft())
            self._offset = message.offset + 1
        return found

    def headers(self, limit: int) -> Sequence[Message]:
        """No cheaper than `poll` on Kafka: payloads are transferred, then dropped."""
        found: list[Message] = []
        while len(found) < limit and (message := self._next(limit - len(found), found)) is not None:
            self._held.popleft()
            found.append(Message(b"", message.headers, message.offset, message.appended_ns))
            self._offset = message.offset + 1
        return found

    def close(self) -> None:
        if self._consumer is not None and self._process == os.getpid():
            self._consumer.close()
            self._consumer = None
        self._held.clear()

    def _next(self, wanted: int, found: Sequence[Message]) -> Message | None:
        """The next message, which stays in `_held`. After the first of `found`, errors wait for the next call."""
        if not self._held:
            try:
                self._fill(min(wanted, CHUNK))
            except BusError:
                if found:
                    return None
                raise
        return self._held[0] if self._held and self._is_sure(found) else None

    def _is_sure(self, found: Sequence[Message]) -> bool:
        """True if `_held` is of the topic that was opened, and not of a new topic with its name."""
        try:  # ask at once if more messages surely exist
            identity = self._watch.since(self._fetched_s, hurry=self._offset < self._target())
        except BusError:
            if found:
                return False
            raise
        if identity is not None and identity != self._identity:
            self._held.clear()
            if found:
                return False
            raise BusError(
                f"{self._name}: the topic was deleted and created again since it was opened",
                hint="the flow ends by itself; start it again to read the new topic",
            )
        return identity is not None

    def _fill(self, wanted: int) -> None:
        consumer = self._open()
        if self._trouble is not None or not self._assigned:
            self._assign()
            if not self._assigned:
                return
        until_s = time.monotonic() + WAIT_S
        while not self._held:
            self._offset = max(self._offset, self._seen_end)
            target = self._target()
            wait_s = 0.0 if self._offset >= target else max(0.0, until_s - time.monotonic())
            first = consumer.poll(wait_s)
            if first is not None:
                for fetched in (first, *consumer.consume(wanted - 1, 0)) if wanted > 1 else (first,):
                    self._take(fetched)
            elif self._offset >= target:
                self._look_around()
                break
            elif time.monotonic() >= until_s:
                if self._is_late():
                    raise BusError(f"{self._name}: Kafka sent no message within {WAIT_S:g} s", retry_after_s=1)
                break
        if self._trouble is not None and not self._held:
            raise self._bus_error(self._trouble)

    def _target(self) -> int:
        """Messages before this offset surely exist."""
        return max(self._end, self._appended_end())

    def _take(self, fetched: Fetched) -> None:
        error = fetched.error()
        if error is None:
            self._heard_s = time.monotonic()
            message = _message(fetched)
            if message.offset >= self._offset:
                self._fetched_s = time.monotonic()
                self._held.append(message)
                self._reached = True
        elif error.code() == KafkaError._PARTITION_EOF:
            self._seen_end = fetched.offset() or 0
            self._reached = True
        elif error.code() in OUT_OF_RANGE:
            self._assigned = False
            if not self._held:
                self._assign()
        else:
            self._trouble = error

    def _look_around(self) -> None:
        """If no message came for a while, check that the partition exists and was not cut."""
        if time.monotonic() - self._heard_s > QUIET_S:
            self._check(self._range())

    def _is_late(self) -> bool:
        """True if the partition holds more. An open transaction of another producer may hold messages back."""
        extent = self._range()
        self._check(extent)
        self._end = 0
        return self._offset < extent.next_offset

    def _assign(self) -> None:
        """Start to fetch at the cursor, if the partition reaches it already."""
        extent = self._range()
        self._check(extent)
        self._trouble = None
        self._assigned = self._offset <= extent.next_offset
        self._end, self._seen_end = extent.next_offset, 0
        if self._assigned:
            self._reached = True
            self._open().assign([TopicPartition(self._place.topic, self._place.partition, self._offset)])

    def _check(self, extent: Extent) -> None:
        low, high = extent.first_offset, extent.next_offset
        if low > self._offset:
            self._assigned = False
            raise OffsetExpired(
                f"{self._name}: offset {self._offset} was removed by retention, the first offset is now {low}",
                first_offset=low,
                hint="if the reader was too late, raise the topic's retention (headwater topics show)",
            )
        if self._reached and self._offset > high:
            self._assigned = False
            raise BusError(
                f"{self._name} ends at offset {high}, but was read up to {self._offset}: it was cut, or is a new topic",
                hint="restore the topic, or start with an empty data directory, as stores rely on its offsets",
                retry_after_s=10,
            )

    def _range(self) -> Extent:
        """The extent now, asked on another connection: on ours the answer would wait for the next fetch."""
        self._open()
        extent = self._extent()
        self._heard_s = time.monotonic()
        return extent

    def _bus_error(self, error: KafkaError) -> BusError:
        what = f'topic "{self._place.topic}"' if error.code() in GONE else f"reading {self._name} from Kafka"
        return bus_error(error, what)

    def _on_error(self, error: KafkaError) -> None:
        """Called during a poll. Ignores the failure of a single broker; `_fill` asks again before it continues."""
        if error.code() in UNUSABLE:
            self._trouble = error

    def _open(self) -> Consumer:
        if self._consumer is None:
            raise BusError("this reader is closed: open another")
        if self._process != os.getpid():
            raise BusError("this reader was opened before a fork: open the bus again in this process")
        return self._consumer


def _message(fetched: Fetched) -> Message:
    headers: Sequence[tuple[str, Any]] = fetched.headers() or ()
    texts = {name: value.decode(errors="replace") if value else "" for name, value in headers}
    kind, stamp_ms = fetched.timestamp()
    appended_ns = stamp_ms * MS if kind != TIMESTAMP_NOT_AVAILABLE and stamp_ms > 0 else time.time_ns()
    value: Any = fetched.value()
    return Message(value or b"", texts, fetched.offset() or 0, appended_ns)
