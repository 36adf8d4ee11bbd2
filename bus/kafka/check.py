"""Check of a Kafka cluster: settings -> facts about its brokers and our topics, for `headwater up` and `doctor`.

`reach` and `look` change nothing. Each call has clients of its own, so that it sees what a fresh start would see.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from confluent_kafka import Consumer, KafkaError, KafkaException

from bus.kafka.admin import Admin, Described
from bus.kafka.config import Cluster, cluster_of, reader_options
from bus.kafka.errors import AWAY, bus_error, client_log, config_error, kafka_error
from bus.topics import Change, declared
from contracts.errors import BusError, ConfigError
from contracts.settings import Settings

KNOCK_S = 1.0
REACH_S = 4.0
TRIES = 3  # the administration client may ask a broker that has just gone
_NOISE = re.compile(r"^\w+://\S+: |\(after \d+ms in state \w+[^)]*\)")


@dataclass(frozen=True, slots=True)
class Facts:
    """Attributes:
    unreachable: Servers of the URL that accept no connection, with the reason.
    brokers: Number of brokers of the cluster.
    missing: Declared topics that do not exist.
    changes: Other differences from the declared topics.
    leaderless: Partitions that can be neither read nor written, as "topic partition".
    refusing: Partitions with fewer copies in sync than `min.insync.replicas`: appends there are refused.
    behind: Further partitions where a copy has not caught up.
    """

    unreachable: Mapping[str, str]
    brokers: int
    missing: Sequence[str]
    changes: Sequence[Change]
    leaderless: Sequence[str]
    refusing: Sequence[str]
    behind: Sequence[str]


def reach(url: str, settings: Settings) -> Cluster:
    """Check that the cluster answers and accepts our log-in; blocks for about `REACH_S` at most.

    Raises:
        ConfigError: The URL or a setting cannot work.
        BusError: The cluster does not answer or refuses us; the message says why.
    """
    cluster = cluster_of(url, settings)
    errors: list[KafkaError] = []
    options = {**reader_options(cluster), "error_cb": errors.append}
    try:
        consumer = Consumer(options, logger=client_log("check"))
    except KafkaException as error:
        raise config_error(error) from error
    try:
        consumer.list_topics(timeout=REACH_S)
    except KafkaException as error:
        consumer.poll(0)  # calls `error_cb` with the errors so far
        raise _why(cluster, [*errors, kafka_error(error)]) from error
    finally:
        _close(consumer)
    return cluster


def _close(consumer: Consumer) -> None:
    """Close in the background: closing may wait for a broker that does not answer."""
    threading.Thread(target=consumer.close, daemon=True).start()


def _why(cluster: Cluster, errors: Sequence[KafkaError]) -> BusError:
    """Our error for the most specific of `errors`; if none is, after a try of a plain connection."""
    specific = next((error for error in errors if error.code() not in AWAY), None)
    if specific is not None:
        return bus_error(KafkaError(specific.code(), _text_of(specific)), cluster.shown)
    if unreachable := knock(cluster):
        reasons = "; ".join(f"{server}: {reason}" for server, reason in unreachable.items())
        hint = "start the brokers, or correct HEADWATER_BUS_URL"
        return BusError(f"{cluster.shown} cannot be reached ({reasons})", hint=hint, retry_after_s=2)
    if any(error.code() == KafkaError._ALL_BROKERS_DOWN for error in errors):  # a silent broker is not down
        closed = next((error for error in errors if "disconnected" in error.str().lower()), errors[-1])
        hint = "check that HEADWATER_BUS_SECURITY_PROTOCOL fits this port of the brokers, and that the port is Kafka's"
        return BusError(f"{cluster.shown} ends the connection: {_text_of(closed)}", hint=hint, retry_after_s=2)
    hint = "the port accepts connections: check the broker's log and load, and that the port is Kafka's"
    return BusError(f"{cluster.shown} does not answer", hint=hint, retry_after_s=2)


def _text_of(error: KafkaError) -> str:
    """The error's text without the client's own address and times."""
    return _NOISE.sub("", error.str()).strip()


def knock(cluster: Cluster) -> dict[str, str]:
    """The servers of the URL that accept no connection, with the reason."""
    servers = cluster.servers.split(",")
    with ThreadPoolExecutor(len(servers)) as pool:
        return {server: reason for server, reason in zip(servers, pool.map(_knock, servers), strict=True) if reason}


def _knock(server: str) -> str:
    host, _, port = server.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()
    except OSError as error:
        return (error.strerror or str(error) or type(error).__name__).lower()
    return ""


def look(url: str, settings: Settings) -> Facts:
    """All facts about the cluster. Raises as `reach`."""
    cluster = reach(url, settings)
    brokers, described, changes = _asked(cluster)
    missing = [change.topic for change in changes if change.topic not in described]
    leaderless, refusing, behind = _of_partitions(described)
    return Facts(
        unreachable=knock(cluster),
        brokers=brokers,
        missing=missing,
        changes=[change for change in changes if change.topic in described],
        leaderless=leaderless,
        refusing=refusing,
        behind=behind,
    )


def _asked(cluster: Cluster) -> tuple[int, Mapping[str, Described], Sequence[Change]]:
    """Number of brokers, existing topics, and differences from the declared topics."""
    for left in reversed(range(TRIES)):
        try:
            with contextlib.closing(Admin(cluster)) as admin:
                brokers = admin.brokers()
                return brokers, admin.describe(list(declared(cluster.settings, brokers))), admin.differences()
        except BusError:
            if not left:
                raise
    raise AssertionError("not reached")


def _of_partitions(described: Mapping[str, Described]) -> tuple[list[str], list[str], list[str]]:
    leaderless, refusing, behind = list[str](), list[str](), list[str]()
    for name, topic in described.items():
        least = int(topic.configs.get("min.insync.replicas", "1"))
        for number, partition in topic.partitions.items():
            place = f"{name} {number}"
            if partition.leader < 0:
                leaderless.append(place)
            elif len(partition.in_sync) < least:
                refusing.append(place)
            elif len(partition.in_sync) < len(partition.replicas):
                behind.append(place)
    return leaderless, refusing, behind


def apply_missing(url: str, settings: Settings) -> Sequence[str]:
    """Create the missing declared topics, and return their names. Existing topics stay as they are.

    Raises:
        BusError: The cluster does not answer, or refuses.
        ConfigError: A topic cannot be created as declared; no topic was created.
    """
    with contextlib.closing(Admin(reach(url, settings))) as admin:
        brokers = admin.brokers()
        there = admin.describe(list(declared(settings, brokers)))
        new = [change for change in admin.differences() if change.topic not in there]
        for change in new:
            if change.refusal:
                raise ConfigError(f"topic {change.topic}: {change.refusal}", hint=change.hint)
        for change in new:
            admin.apply(change)
    return [change.topic for change in new]
