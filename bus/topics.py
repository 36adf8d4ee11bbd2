"""Topics: topics declared by `topics.toml` and the settings, and existing topics -> the changes between them.

Pure. A difference that Kafka cannot remove (fewer partitions, other copies) is a refusal with a remedy.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from contracts.settings import MIB, Settings

FILE = Path(__file__).with_name("topics.toml")
HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Topic:
    """A declared topic; `topics.toml` explains the fields."""

    partitions: int = 2
    replication: int = 3
    min_insync: int = 2
    retention_h: float = 72
    retention_mib: int = 4096
    max_message_mib: int = 32
    compression: str = "producer"

    def configs(self) -> dict[str, str]:
        """The topic's options by Kafka's names. Kafka limits the size of each partition, not of the topic.

        A message's timestamp is the time at which the broker stored the message.
        """
        return {
            "cleanup.policy": "delete",
            "compression.type": self.compression,
            "max.message.bytes": str(self.max_message_mib * MIB),
            "message.timestamp.type": "LogAppendTime",
            "min.insync.replicas": str(self.min_insync),
            "retention.bytes": str(max(1, self.retention_mib // self.partitions) * MIB),
            "retention.ms": str(max(1, int(self.retention_h * HOUR_MS))),
        }


@dataclass(frozen=True, slots=True)
class Found:
    """An existing topic. `replication`: copies of the partition that has the fewest."""

    partitions: int
    replication: int
    configs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """A change of one topic, `what` in words. `refusal`: why the change is impossible, or ""; `hint`: the remedy."""

    topic: str
    what: str
    create: Topic | None = None
    partitions: int = 0
    configs: Mapping[str, str] = field(default_factory=dict)
    refusal: str = ""
    hint: str = ""


@cache
def _file() -> Mapping[str, Topic]:
    return {name: Topic(**values) for name, values in tomllib.loads(FILE.read_text())["topics"].items()}


def declared(settings: Settings, brokers: int) -> dict[str, Topic]:
    """All declared topics by name (without prefix), for a cluster of `brokers` brokers."""
    return {name: _fitted(topic, settings, brokers) for name, topic in _file().items()}


def topic_named(name: str, settings: Settings, brokers: int) -> Topic:
    """The declaration of `name`; a topic that `topics.toml` lacks is declared by the settings."""
    undeclared = Topic(partitions=settings.bus_partitions)
    return _fitted(_file().get(name, undeclared), settings, brokers)


def _fitted(topic: Topic, settings: Settings, brokers: int) -> Topic:
    given = settings.model_fields_set
    replication = settings.bus_replication or min(topic.replication, max(1, brokers))
    return replace(
        topic,
        partitions=settings.bus_partitions if "bus_partitions" in given else topic.partitions,
        replication=replication,
        min_insync=min(topic.min_insync, max(1, replication - 1)),
        retention_h=settings.bus_retention_h if "bus_retention_h" in given else topic.retention_h,
        retention_mib=settings.bus_retention_mib if "bus_retention_mib" in given else topic.retention_mib,
    )


def plan(wanted: Mapping[str, Topic], found: Mapping[str, Found], brokers: int) -> Sequence[Change]:
    """The changes from `found` to `wanted`; empty if they agree."""
    changes: list[Change] = []
    for name, topic in wanted.items():
        there = found.get(name)
        changes += [_creation(name, topic, brokers)] if there is None else _differences(name, topic, there)
    return changes


def _creation(name: str, topic: Topic, brokers: int) -> Change:
    what = f"create it: {topic.partitions} partitions, {topic.replication} copies"
    if topic.replication > brokers:
        refusal = f"{topic.replication} copies need {topic.replication} brokers, but the cluster has {brokers}"
        return Change(name, what, refusal=refusal, hint="start more brokers, or lower HEADWATER_BUS_REPLICATION")
    return Change(name, what, create=topic)


def _differences(name: str, topic: Topic, there: Found) -> list[Change]:
    changes = []
    if there.replication != topic.replication:
        changes.append(
            Change(
                name,
                f"copies: {there.replication} -> {topic.replication}",
                refusal=f"it has {there.replication} copies, and only Kafka's own tool can change their number",
                hint=f"use kafka-reassign-partitions, or set HEADWATER_BUS_REPLICATION={there.replication}",
            )
        )
    if there.partitions > topic.partitions:
        changes.append(
            Change(
                name,
                f"partitions: {there.partitions} -> {topic.partitions}",
                refusal=f"it has {there.partitions} partitions, and Kafka cannot remove partitions",
                hint=f"set HEADWATER_BUS_PARTITIONS={there.partitions}, or raise the number in bus/topics.toml",
            )
        )
    elif there.partitions < topic.partitions:
        what = f"partitions: {there.partitions} -> {topic.partitions} (keys move: stop all senders, restart the flows)"
        changes.append(Change(name, what, partitions=topic.partitions))
    for key, value in topic.configs().items():
        if there.configs.get(key) != value:
            changes.append(Change(name, f"{key}: {there.configs.get(key, '?')} -> {value}", configs={key: value}))
    return changes
