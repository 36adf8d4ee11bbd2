"""Arrivals: what the source hands on: one bus message with its header read and its repeats counted, or a lost range."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from contracts.batches import Batch
from contracts.messages import BatchHeader, Kind, Message, foreign_header, from_headers
from contracts.tenants import Tenant, tenant_named

MAX_LONG = (1 << 63) - 1
MAX_LINES = 65_536  # also what keeps the sequence numbers of dead letters apart, see `dead_letter_writer`
LAST_NS = MAX_LONG - MAX_LINES  # the last time, and sequence number, to which a line number can be added


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message.

    Attributes:
        fresh: Lines that are no repeats; None means all.
        damage: Why the header cannot be believed (the header is then a foreign one), or "".
    """

    header: BatchHeader
    partition: int
    message: Message
    fresh: tuple[range, ...] | None = None
    damage: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """Offsets `first` to `next_offset` (exclusive) that cannot be read: they expired, or were on a bus that was lost.

    Attributes:
        day: The last that they touch: up to it the hot store may miss rows. None: it misses none.
        count: How many messages are known to be gone; None: one at each offset.
    """

    kind: Kind
    partition: int
    first: int
    next_offset: int
    day: dt.date | None
    count: int | None = None


Item = Batch | Lost


def tick(kind: Kind, tenant: Tenant, partition: int, offset: int) -> Batch:
    """A batch without records: lets sinks look at their clocks."""
    header = BatchHeader(tenant=tenant, kind=kind, producer="", received_ns=0)
    return Batch(header, partition, offset, tick=True)


def arrival(kind: Kind, tenant: Tenant, partition: int, message: Message) -> Arrival:
    """Read the header of `message`; `tenant` owns what has none."""
    if not 0 <= message.appended_ns <= LAST_NS:  # as somebody else's producer may say
        message = replace(message, appended_ns=max(0, min(message.appended_ns, LAST_NS)))
    try:
        header = from_headers(message.headers)
        if header is None:
            return Arrival(_foreign(kind, tenant, partition, message), partition, message)
        _check(header, kind)
    except Exception as error:  # nothing in a header may end the flow
        return Arrival(foreign_header(kind, tenant, partition, message), partition, message, damage=str(error))
    return Arrival(header, partition, message)


def _foreign(kind: Kind, tenant: Tenant, partition: int, message: Message) -> BatchHeader:
    header = foreign_header(kind, tenant, partition, message)
    if message.headers.get("content-encoding") != "zstd":
        return header
    return BatchHeader(
        tenant=tenant,
        kind=kind,
        producer=header.producer,
        stream=header.stream,
        received_ns=header.received_ns,
        encoding="zstd",
    )


def _check(header: BatchHeader, kind: Kind) -> None:
    """Raise ValueError or ConfigError where a store could not hold what the header says."""
    tenant_named(header.tenant)
    if header.kind is not kind:
        raise ValueError(f'header is of kind "{header.kind}" on the topic of "{kind}"')
    if not 0 <= header.count <= header.span <= MAX_LINES:
        raise ValueError(f"count {header.count} and span {header.span} are not 0 <= count <= span <= {MAX_LINES}")
    for name in ("epoch", "sequence", "received_ns"):
        value = getattr(header, name)
        if not 0 <= value <= LAST_NS:
            raise ValueError(f"{name} {value} is out of range")
    if not header.producer or len(header.producer) > 512 or len(header.stream) > 4096:
        raise ValueError("producer is empty, or producer or stream is too long")
    if header.producer.startswith("bus:"):
        raise ValueError('producer starts with "bus:", which is kept for messages without headers')
