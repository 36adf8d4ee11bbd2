"""Arrivals, the items of the source: one bus message with decoded header and counted repeats, or a lost range."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from contracts.batches import Batch
from contracts.messages import BatchHeader, Kind, Message, foreign_header, from_headers
from contracts.tenants import Tenant, tenant_named

MAX_LONG = (1 << 63) - 1
MAX_LINES = 65_536  # also keeps the sequence numbers of dead letters distinct, see `dead_letter_writer`
LAST_NS = MAX_LONG - MAX_LINES  # the last time, and sequence number, to which a line number can be added


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message.

    Attributes:
        fresh: Lines that are not repeats; None means all lines.
        damage: Why the header is invalid, or "". With damage, `header` is a foreign header.
    """

    header: BatchHeader
    partition: int
    message: Message
    fresh: tuple[range, ...] | None = None
    damage: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """Offsets `first` to `next_offset` (exclusive) that cannot be read: they expired, or their bus was lost.

    Attributes:
        day: Last arrival day of the range; the hot store may lack rows up to this day. None: it lacks none.
        count: Number of lost messages if known; None: one per offset.
    """

    kind: Kind
    partition: int
    first: int
    next_offset: int
    day: dt.date | None
    count: int | None = None


Item = Batch | Lost


def tick(kind: Kind, tenant: Tenant, partition: int, offset: int) -> Batch:
    """A batch without records, which makes the sinks check their clocks."""
    header = BatchHeader(tenant=tenant, kind=kind, producer="", received_ns=0)
    return Batch(header, partition, offset, tick=True)


def arrival(kind: Kind, tenant: Tenant, partition: int, message: Message) -> Arrival:
    """Read the header of `message`; `tenant` owns a message without one."""
    if not 0 <= message.appended_ns <= LAST_NS:  # a foreign producer may set any time
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
    """Raise ValueError or ConfigError if a value of the header cannot be stored."""
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
