"""Dead letters: rejects of a batch -> one message on the topic `dead_letters`, before any sink sees the batch.

A letter's sequence is made from where its record stands on the bus, so that a batch which is replayed after a crash
appends repeats, which `flows.dead_letters` drops. When the bus does not take them, the flow waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import msgspec

from contracts.batches import Batch, Reject
from contracts.errors import BusError, TooLarge
from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.records import SentDeadLetter
from flows.arrivals import MAX_LINES, Item, Lost
from flows.connections import Connections
from flows.patience import patiently

MOST_BYTES = 40 << 20  # of payload in one message: Base64 makes 54 MiB of it, and the topic takes 64 MiB
LEAST_BYTES = 1024  # of a record are always kept

_encode = msgspec.json.Encoder().encode


class DeadLetterWriter:
    """A step of the graph: passes a batch on when its rejects are on the bus, and nothing after one that is not."""

    def __init__(self, connections: Connections, kind: Kind, stop: threading.Event) -> None:
        self._connections = connections
        self._kind = kind
        self._stop = stop
        self._landed: Mapping[int, int] | None = None
        self._halted: set[int] = set()

    def __call__(self, item: Item) -> Sequence[Item]:
        if item.partition in self._halted:
            return []
        if isinstance(item, Lost) or not item.rejects or self.write(item, item.rejects):
            return [item]
        # Told to stop while waiting. A later batch must not move a checkpoint past this one.
        self._halted.add(item.partition)
        return []

    def write(self, batch: Batch, rejects: Sequence[Reject], step: str = "") -> bool:
        """Append letters for `rejects`, unless the lake has the batch already; False: told to stop before it worked.

        A later `step` of the graph has a producer of its own, so that its sequence begins anew.
        """
        return patiently("writing dead letters", lambda: self._write_once(batch, rejects, step), self._stop)

    def _write_once(self, batch: Batch, rejects: Sequence[Reject], step: str) -> None:
        if self._landed is None:
            self._landed = self._connections.landed.get(self._kind)
        if self._landed is None:
            self._landed = self._connections.lake.checkpoints(self._kind)
        if batch.offset >= self._landed.get(batch.partition, 0):
            for part in in_parts(rejects):
                self._append(batch, part, step)

    def _append(self, batch: Batch, rejects: Sequence[Reject], step: str) -> None:
        """A message that the topic does not take goes in parts, and at last with fewer bytes: a retry would not help,
        and the flow would stand still. What was stored before is repeated after a failure, and dropped as a repeat."""
        message, key = letters(batch, rejects, step, time.time_ns())
        try:
            self._connections.bus.append(Kind.DEAD_LETTERS.topic, key, [message])
        except BusError as error:
            if not isinstance(error, TooLarge) and not isinstance(error.__cause__, TooLarge):
                raise
            if len(rejects) == 1 and len(rejects[0].payload) <= LEAST_BYTES:
                raise
            half = len(rejects) // 2
            cut = [shortened(rejects[0], len(rejects[0].payload) // 2)]
            for part in (rejects[:half], rejects[half:]) if half else (cut,):
                self._append(batch, part, step)


def in_parts(rejects: Sequence[Reject]) -> Iterator[Sequence[Reject]]:
    """As many together as one message should hold; a payload that is larger is cut."""
    part, size = list[Reject](), 0
    for reject in rejects:
        if part and size + len(reject.payload) > MOST_BYTES:
            yield part
            part, size = [], 0
        part.append(shortened(reject, MOST_BYTES))
        size += len(reject.payload)
    yield part


def shortened(reject: Reject, size_bytes: int) -> Reject:
    """The reject with the first `size_bytes` of its payload, and a word about it, where it has more."""
    if len(reject.payload) <= size_bytes:
        return reject
    text = f"{reject.message}; only the first {size_bytes} bytes of the record are kept"
    return replace(reject, payload=reject.payload[:size_bytes], message=text)


def letters(batch: Batch, rejects: Sequence[Reject], step: str, now_ns: int) -> tuple[Message, str]:
    """The message, and its key on the bus. Lines between two letters stay empty, as their sequence numbers do."""
    first, last = rejects[0].index, rejects[-1].index
    lines = [b""] * (last - first + 1)
    for reject in rejects:
        lines[reject.index - first] = _encode(letter(batch, reject))
    header = BatchHeader(
        tenant=batch.header.tenant,
        kind=Kind.DEAD_LETTERS,
        producer=f"flow:{batch.kind}:{batch.partition}{':' + step if step else ''}",
        sequence=batch.offset * MAX_LINES + first,
        count=len(rejects),
        span=len(lines),
        received_ns=now_ns,
    )
    return Message(b"\n".join(lines), to_headers(header)), header.stream_key


def letter(batch: Batch, reject: Reject) -> SentDeadLetter:
    header = batch.header
    return SentDeadLetter(
        payload=reject.payload,
        reason=reject.reason,
        message=reject.message.encode(errors="backslashreplace").decode(),
        stage=reject.stage,
        kind=header.kind.value,
        bus_partition=batch.partition,
        bus_offset=batch.offset,
        bus_index=reject.index,
        producer=header.producer,
        epoch=header.epoch,
        stream=header.stream,
        sequence=header.sequence + reject.index,
        arrived_ns=header.received_ns,
    )
