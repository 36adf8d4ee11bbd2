"""The item of a flow: one bus message after parsing."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field

from contracts.messages import BatchHeader, Kind
from contracts.records import Row

IMPORTED = 1023  # the bus partition that imported rows name; no topic has so many


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that cannot be used: a value, never an exception across a flow.

    Attributes:
        index: Line of the record in the message.
        payload: Bytes of the record as received.
        reason: Stable code.
        message: The fault in words.
        stage: Step that found the fault.
    """

    index: int
    payload: bytes
    reason: str
    message: str
    stage: str


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of one bus message, and the account of every record in it.

    `received == len(rows) + duplicates + len(rejects) + sum(dropped.values())` always holds.
    A *tick* is a batch without records: sinks use it to check whether a timed commit is due. The `offset` of a tick is
    the reader's next offset, and `received` is 0.

    Attributes:
        header: Header of the message; the sequence number of a row is `header.sequence + row.index`.
        partition, offset: Position of the message on the topic of `header.kind`.
        rows: Usable records, repeats removed, in line order.
        rejects: Records for the dead letters.
        received: Non-empty lines in the message.
        duplicates: Records dropped because their sequence was seen before.
        dropped: Records dropped by policy, by reason.
    """

    header: BatchHeader
    partition: int
    offset: int
    rows: Sequence[Row] = ()
    rejects: Sequence[Reject] = ()
    received: int = 0
    duplicates: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    tick: bool = False

    @property
    def kind(self) -> Kind:
        return self.header.kind

    @property
    def next_offset(self) -> int:
        return self.offset if self.tick else self.offset + 1

    @property
    def day(self) -> dt.date:
        """UTC day of arrival: the partition of the lake and the index of the hot store."""
        return arrival_day(self.header.received_ns)


def arrival_day(received_ns: int) -> dt.date:
    return dt.datetime.fromtimestamp(received_ns // 1_000_000_000, dt.UTC).date()
