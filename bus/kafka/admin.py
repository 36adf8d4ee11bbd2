"""Administration of a Kafka cluster by kafka-python: describe, create, grow and configure topics.

Not in the path of records: used when a topic is missing, and by `headwater topics` and `headwater doctor`.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource
from kafka.errors import (
    InvalidReplicationFactorError,
    KafkaError,
    KafkaTimeoutError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
)

from bus.kafka.config import Cluster, admin_options
from bus.topics import Change, Found, Topic, declared, plan, topic_named
from contracts.errors import BusError, ConfigError

SETTLE_S = 5.0

logging.getLogger("kafka").setLevel(logging.WARNING)  # at INFO the library logs every connection


@dataclass(frozen=True, slots=True)
class Partition:
    """`size_bytes`: size of one copy, the leader's if known."""

    leader: int
    replicas: tuple[int, ...]
    in_sync: tuple[int, ...]
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Described:
    """An existing topic; `partitions` by number."""

    partitions: Mapping[int, Partition] = field(default_factory=dict)
    configs: Mapping[str, str] = field(default_factory=dict)

    @property
    def replication(self) -> int:
        return min((len(partition.replicas) for partition in self.partitions.values()), default=0)


class Admin:
    """Takes and gives names of topics without the prefix. Close it after use."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        try:
            with self._translated():
                self._client: Any = KafkaAdminClient(**admin_options(cluster))
        except (OSError, ValueError, AssertionError) as error:
            raise ConfigError(f"the Kafka client cannot be created: {error}", hint="see docs/settings.md") from error

    def brokers(self) -> int:
        with self._translated():
            return len(self._client.describe_cluster()["brokers"])

    def describe(self, names: Sequence[str]) -> dict[str, Described]:
        """The existing topics of `names`."""
        full = {self._cluster.topic(name): name for name in names}
        with self._translated():
            existing = [each for each in self._client.describe_topics(list(full)) if each["error_code"] == 0]
            if not existing:
                return {}
            resources = [ConfigResource("TOPIC", each["name"]) for each in existing]
            configs = self._client.describe_configs(resources, config_filter="all").get("topic", {})
            sizes = self._sizes([each["name"] for each in existing])
        return {full[each["name"]]: _described(each, configs.get(each["name"], {}), sizes) for each in existing}

    def _sizes(self, names: Sequence[str]) -> dict[tuple[str, int, int], int]:
        """Bytes by (topic, partition, broker); empty while any broker is away, as the library asks all."""
        sizes: dict[tuple[str, int, int], int] = {}
        try:
            answers = self._client.describe_log_dirs()
        except KafkaError:
            return sizes
        for answer in answers:
            for folder in answer["log_dirs"]:
                for topic in folder["topics"]:
                    if topic["name"] in names:
                        for each in topic["partitions"]:
                            place = (topic["name"], each["partition_index"], answer["broker"])
                            sizes[place] = int(each["partition_size"])
        return sizes

    def create(self, name: str, topic: Topic) -> None:
        """Create the topic. Idempotent: an existing topic is no error."""
        wanted = {
            "num_partitions": topic.partitions,
            "replication_factor": topic.replication,
            "configs": topic.configs(),
        }
        until_s = time.monotonic() + SETTLE_S
        with contextlib.suppress(TopicAlreadyExistsError), self._translated():
            while True:
                try:
                    self._client.create_topics({self._cluster.topic(name): wanted}, wait_for_metadata=True)
                    return
                except InvalidReplicationFactorError:  # also raised while a broker is briefly unknown
                    if time.monotonic() >= until_s:
                        raise
                    time.sleep(0.5)

    def differences(self) -> Sequence[Change]:
        """The changes that `headwater topics apply` would make."""
        brokers = self.brokers()
        wanted = declared(self._cluster.settings, brokers)
        found = {
            name: Found(len(topic.partitions), topic.replication, topic.configs)
            for name, topic in self.describe(list(wanted)).items()
        }
        return plan(wanted, found, brokers)

    def apply(self, change: Change) -> None:
        """Make one change, which must not be a refusal.

        Raises:
            BusError: The cluster cannot be reached, or refuses.
        """
        if change.create is not None:
            self.create(change.topic, change.create)
        elif change.partitions:
            with self._translated():
                self._client.create_partitions({self._cluster.topic(change.topic): change.partitions})
        else:
            self._configure(change)

    def _configure(self, change: Change) -> None:
        full, until_s = self._cluster.topic(change.topic), time.monotonic() + SETTLE_S
        while True:
            resource = ConfigResource("TOPIC", full, dict(change.configs))
            with self._translated():  # the library's own check may ask a broker that does not know the topic yet
                answer = str(self._client.alter_configs([resource], raise_on_unknown=False)["topic"][full])
            if answer == "OK":
                return
            if UnknownTopicOrPartitionError.__name__ not in answer or time.monotonic() > until_s:
                raise BusError(f"{self._cluster.shown} does not change topic {change.topic}: {answer}", retry_after_s=2)
            time.sleep(0.1)

    def settle(self) -> Sequence[Change]:
        """Wait until changes are visible; return those that are not."""
        until_s = time.monotonic() + SETTLE_S
        while (left := self.differences()) and time.monotonic() < until_s:
            time.sleep(0.1)
        return left

    def close(self) -> None:
        self._client.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except TopicAlreadyExistsError:
            raise
        except KafkaTimeoutError as error:
            hint = "check that the brokers of HEADWATER_BUS_URL run, and check HEADWATER_BUS_SECURITY_PROTOCOL"
            raise BusError(f"{self._cluster.shown} does not answer", hint=hint, retry_after_s=2) from error
        except KafkaError as error:
            raise BusError(f"{self._cluster.shown}: {type(error).__name__}: {error}", retry_after_s=2) from error


def _described(
    topic: Mapping[str, Any], configs: Mapping[str, Any], sizes: Mapping[tuple[str, int, int], int]
) -> Described:
    partitions = {}
    for each in sorted(topic["partitions"], key=lambda one: int(one["partition_index"])):
        number, replicas = each["partition_index"], tuple(each["replica_nodes"])
        on_disk = [sizes.get((topic["name"], number, broker), 0) for broker in (each["leader_id"], *replicas)]
        size_bytes = on_disk[0] or max(on_disk)
        partitions[number] = Partition(each["leader_id"], replicas, tuple(each["isr_nodes"]), size_bytes)
    return Described(partitions, {name: str(entry["value"]) for name, entry in configs.items()})


def make_topic(cluster: Cluster, name: str) -> None:
    """Create the missing topic `name` as declared.

    Raises:
        BusError: The cluster cannot be reached, or refuses.
    """
    with contextlib.closing(Admin(cluster)) as admin:
        admin.create(name, topic_named(name, cluster.settings, admin.brokers()))
