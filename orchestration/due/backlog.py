"""Backlog: bus and lake -> messages of each partition that are not in the lake yet, and the risk of their loss.

The embedded bus keeps all unread messages. Kafka's brokers delete messages by age and size, read or not. An alert comes
long before that; the flow that finds messages deleted counts them as `lost` in the account.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from contracts.bus import Bus
from contracts.errors import OffsetExpired
from contracts.messages import Kind, Message, from_headers
from contracts.settings import Settings
from lakehouse.upkeep.care import Care

AT_RISK, LOST = "bus.retention_at_risk", "bus.records_lost"
LOOKS, PAUSE_S = 5, 0.2  # attempts with a reader that has no answer about its partition yet


@dataclass(frozen=True, slots=True)
class Backlog:
    """Backlog of one partition, in offsets of the bus.

    Attributes:
        landed: First offset that the lake lacks.
        first_offset, next_offset: Range of offsets on the bus.
        received_ns: Arrival of the first message that the lake lacks; None if the lake has all.
        appended_ns: Time at which the bus stored that message.
        base: Number that the lake adds to offsets of this bus.
    """

    kind: Kind
    partition: int
    landed: int
    first_offset: int
    next_offset: int
    received_ns: int | None = None
    appended_ns: int = 0
    base: int = 0

    @property
    def messages(self) -> int:
        return max(0, self.next_offset - max(self.landed, self.first_offset))

    @property
    def lost(self) -> int:
        """Messages that the bus deleted before they landed and that no flow has counted so far."""
        return max(0, self.first_offset - self.landed)


@dataclass(frozen=True, slots=True)
class TopicLimits:
    """Retention limits of one partition; 0 is no limit. `held_bytes`: its current size, 0 if unknown."""

    age_s: float = 0
    size_bytes: int = 0
    held_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Risk:
    """A loss, or the risk of a loss, on the bus.

    Attributes:
        name: `bus.retention_at_risk` or `bus.records_lost`.
        share: Used share of the retention; 1 is all.
        first: Offset of the first affected message, as the lake counts.
    """

    name: str
    kind: Kind
    partition: int
    messages: int
    share: float
    message: str
    first: int = 0


def backlogs(care: Care, bus: Bus, kind: Kind) -> Sequence[Backlog]:
    """The backlog of every partition of `kind`.

    Raises:
        BusError, StoreError: Bus or lake cannot be read now.
    """
    done = care.lake.checkpoints(kind)  # before the bus: messages that land meanwhile count as not landed
    extents = bus.extents(kind.topic)
    bases = care.lake.bases(kind, bus.identity(kind.topic), extents)
    found = []
    for partition, extent in sorted(extents.items()):
        base = bases[partition].own
        landed = 0 if base is None else max(0, done.get(partition, 0) - base)  # no base: no flow has read this bus
        ahead = Backlog(kind, partition, landed, extent.first_offset, extent.next_offset, base=base or 0)
        first = _message_at(bus, kind, partition, ahead) if ahead.messages else None
        if first is not None:
            ahead = replace(ahead, received_ns=_received_ns(first), appended_ns=first.appended_ns)
        found.append(ahead)
    return found


def _message_at(bus: Bus, kind: Kind, partition: int, ahead: Backlog) -> Message | None:
    """The first message that the lake lacks; None if the remaining offsets are only marks of transactions."""
    offset = max(ahead.landed, ahead.first_offset)
    for _ in range(LOOKS):
        try:
            with contextlib.closing(bus.reader(kind.topic, partition, offset)) as reader:
                for look in range(LOOKS):
                    time.sleep(PAUSE_S if look else 0)
                    if messages := reader.headers(1):
                        return messages[0]
                return None
        except OffsetExpired as error:
            offset = error.first_offset
    return None


def _received_ns(message: Message) -> int:
    with contextlib.suppress(ValueError):
        header = from_headers(message.headers)
        if header is not None:
            return header.received_ns
    return message.appended_ns


def bus_risk(care: Care, bus: Bus) -> Sequence[Risk]:
    """Messages that the bus deleted, or may delete, before they are in the lake.

    Raises:
        BusError, StoreError: Bus or lake cannot be read now.
    """
    return risks_among(care, [each for kind in Kind for each in backlogs(care, bus, kind)])


def risks_among(care: Care, ahead: Sequence[Backlog]) -> Sequence[Risk]:
    """Like `bus_risk`, for known backlogs.

    Raises:
        BusError: The limits of the cluster cannot be read.
    """
    waiting = any(each.messages for each in ahead)
    limits = kafka_limits(care.settings) if waiting and care.settings.bus.startswith("kafka://") else {}
    found: list[Risk] = []
    for each in ahead:
        found += risks_of(each, limits.get((each.kind, each.partition), TopicLimits()), care.now_ns(), care.settings)
    return found


def kafka_limits(settings: Settings) -> Mapping[tuple[Kind, int], TopicLimits]:
    """Limits and current size of every partition.

    Raises:
        BusError: The cluster cannot be read now.
    """
    from bus.kafka.admin import Admin
    from bus.kafka.config import cluster_of

    with contextlib.closing(Admin(cluster_of(settings.bus, settings))) as admin:
        topics = admin.describe([kind.topic for kind in Kind])
    return {
        (kind, number): TopicLimits(
            age_s=max(0.0, float(topic.configs.get("retention.ms", 0)) / 1000),
            size_bytes=max(0, int(topic.configs.get("retention.bytes", 0))),
            held_bytes=partition.size_bytes,
        )
        for kind in Kind
        if (topic := topics.get(kind.topic)) is not None
        for number, partition in topic.partitions.items()
    }


def risks_of(ahead: Backlog, limits: TopicLimits, now_ns: int, settings: Settings) -> Sequence[Risk]:
    """Risks of one partition, losses first."""
    where, first = f"{ahead.kind.topic}/{ahead.partition}", ahead.base + ahead.landed
    found = []
    if ahead.lost:
        told = f"{where}: {ahead.lost} messages left the bus before they were in the lake; they are counted as lost"
        found.append(Risk(LOST, ahead.kind, ahead.partition, ahead.lost, 1.0, told, first))
    share, how = _used(ahead, limits, now_ns)
    if ahead.messages and share * 100 >= settings.bus_risk_percent:
        told = (
            f"{where}: {ahead.messages} messages are not in the lake, and {share:.0%} of the bus's retention by {how}"
            " is used up: check that the flows run and the lake can be written, or raise the topic's retention"
        )
        found.append(Risk(AT_RISK, ahead.kind, ahead.partition, ahead.messages, share, told, first))
    return found


def _used(ahead: Backlog, limits: TopicLimits, now_ns: int) -> tuple[float, str]:
    """Share of the retention that the oldest unlanded message has used, and the limit: age or size."""
    age_s = max(0.0, (now_ns - ahead.appended_ns) / 1e9) if ahead.appended_ns else 0.0
    by_age = age_s / limits.age_s if limits.age_s else 0.0
    held = max(1, ahead.next_offset - ahead.first_offset)
    unlanded_bytes = limits.held_bytes * min(1.0, ahead.messages / held)  # assumes messages of equal size
    by_size = unlanded_bytes / limits.size_bytes if limits.size_bytes else 0.0
    return max((by_age, "age"), (by_size, "size"))
