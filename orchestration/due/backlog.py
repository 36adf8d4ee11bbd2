"""Backlog: bus and lake -> what of each partition is not in the lake yet, and whether the bus will forget it first.

The embedded bus never forgets what was not read. Kafka's brokers do, by age and size, whoever has read it: what is in
danger there is told long before, and what is gone is counted as `lost` in the account by the flow that finds it gone.
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
LOOKS, PAUSE_S = 5, 0.2  # at a reader that has not heard of its partition yet


@dataclass(frozen=True, slots=True)
class Backlog:
    """Of one partition, by the bus's own offsets.

    Attributes:
        landed: Next offset that the lake lacks.
        first_offset, next_offset: What the bus holds.
        received_ns: Arrival of the first message that the lake lacks; None when it has all.
        appended_ns: When the bus stored that one.
        base: What the lake adds to offsets of this bus.
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
        """Messages that the bus forgot and the lake never got, and no flow has noted so far."""
        return max(0, self.first_offset - self.landed)


@dataclass(frozen=True, slots=True)
class TopicLimits:
    """What the brokers keep of one partition; 0 is no limit. `held_bytes`: what it has now, 0 where nobody can say."""

    age_s: float = 0
    size_bytes: int = 0
    held_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Risk:
    """An alert.

    Attributes:
        name: `bus.retention_at_risk` or `bus.records_lost`.
        share: Of the retention, 1 is all.
        first: Place of the first message it is about, counted as the lake does.
    """

    name: str
    kind: Kind
    partition: int
    messages: int
    share: float
    message: str
    first: int = 0


def backlogs(care: Care, bus: Bus, kind: Kind) -> Sequence[Backlog]:
    """Every partition of `kind`.

    Raises:
        BusError, StoreError: One of them cannot be asked now.
    """
    done = care.lake.checkpoints(kind)  # before the bus: what lands meanwhile is told as not landed
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
    """The first message that the lake lacks; None where the offsets left are no messages (marks of a transaction)."""
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
    """What the bus has forgotten, or may forget before it is in the lake.

    Raises:
        BusError, StoreError: One of them cannot be asked now.
    """
    return risks_among(care, [each for kind in Kind for each in backlogs(care, bus, kind)])


def risks_among(care: Care, ahead: Sequence[Backlog]) -> Sequence[Risk]:
    """The same of partitions that were looked at.

    Raises:
        BusError: The cluster cannot be asked what it keeps.
    """
    waiting = any(each.messages for each in ahead)
    limits = kafka_limits(care.settings) if waiting and care.settings.bus.startswith("kafka://") else {}
    found: list[Risk] = []
    for each in ahead:
        found += risks_of(each, limits.get((each.kind, each.partition), TopicLimits()), care.now_ns(), care.settings)
    return found


def kafka_limits(settings: Settings) -> Mapping[tuple[Kind, int], TopicLimits]:
    """What the brokers are told to keep, and what they have.

    Raises:
        BusError: The cluster cannot be asked now.
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
    """Of one partition, lost ones first."""
    where, first = f"{ahead.kind.topic}/{ahead.partition}", ahead.base + ahead.landed
    found = []
    if ahead.lost:
        told = f"{where}: {ahead.lost} messages left the bus before they were in the lake; they are counted as lost"
        found.append(Risk(LOST, ahead.kind, ahead.partition, ahead.lost, 1.0, told, first))
    share, how = _used(ahead, limits, now_ns)
    if ahead.messages and share * 100 >= settings.bus_risk_percent:
        told = (
            f"{where}: {ahead.messages} messages are not in the lake, and {share:.0%} of the bus's retention by {how}"
            " is used up: see that the flows run and the lake can be written, or raise the topic's retention"
        )
        found.append(Risk(AT_RISK, ahead.kind, ahead.partition, ahead.messages, share, told, first))
    return found


def _used(ahead: Backlog, limits: TopicLimits, now_ns: int) -> tuple[float, str]:
    """The share of the retention that the oldest unlanded message has used up, and by which limit."""
    age_s = max(0.0, (now_ns - ahead.appended_ns) / 1e9) if ahead.appended_ns else 0.0
    by_age = age_s / limits.age_s if limits.age_s else 0.0
    held = max(1, ahead.next_offset - ahead.first_offset)
    unlanded_bytes = limits.held_bytes * min(1.0, ahead.messages / held)  # messages of one partition are much alike
    by_size = unlanded_bytes / limits.size_bytes if limits.size_bytes else 0.0
    return max((by_age, "age"), (by_size, "size"))
