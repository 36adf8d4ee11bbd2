"""Dead letters: rejects of a batch -> one message on the topic `dead_letters`, before any sink sees the batch.

A letter's sequence is made from where its record stands on the bus, so that a batch which is replayed after a crash
appends repeats, which `flows.dead_letters` drops. When the bus does not take them, the flow waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

import msgspec

from contracts.batches import Batch, Reject
from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.records import SentDeadLetter
from flows.arrivals import MAX_LINES, Item, Lost
from flows.connections import Connections
from flows.patience import patiently

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
        if self._landed is None:
            self._landed = self._connections.lake.checkpoints(self._kind)
        if batch.offset < self._landed.get(batch.partition, 0):
            return True
        message, key = letters(batch, rejects, step, time.time_ns())
        return patiently(
            "writing dead letters",
            lambda: self._append(key, message),
            self._stop,
        )

    def _append(self, key: str, message: Message) -> None:
        self._connections.bus.append(Kind.DEAD_LETTERS.topic, key, [message])


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
        message=reject.message,
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
