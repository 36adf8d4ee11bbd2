"""Kafka: jars of Apache Kafka → a cluster of one or three KRaft brokers on loopback ports.

With three, replication is 3 and `min.insync.replicas` 2: one broker may be away and an acknowledged message is safe.
A broker that was killed serves again about 4 s after its start; the quorum first has to give up its old session,
which takes 2 s here and 9 s by Kafka's default.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.engines import cache, maven, ports
from scripts.engines.node import Node, start_all, stop_all

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

VERSION = "4.1.1"
LOG4J = "2.25.2"  # Kafka leaves the logging back end to us
PACKAGES = [
    f"org.apache.kafka:kafka_2.13:{VERSION}",
    *(f"org.apache.logging.log4j:{name}:{LOG4J}" for name in ("log4j-core", "log4j-slf4j-impl", "log4j-1.2-api")),
]
PINS = "kafka.sha256"
HEAP_MIB = 512
QUICK_START = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]  # ready sooner, slower for good: not for benchmarks

# The client within a broker tells 20 times a second that another is away, and would drown what matters.
LOGGING = """<Configuration status="WARN">
  <Appenders><Console name="out"><PatternLayout pattern="%d{ISO8601} %p %c{1}: %m%n"/></Console></Appenders>
  <Loggers>
    <Logger name="org.apache.kafka.clients.NetworkClient" level="ERROR"/>
    <Root level="WARN"><AppenderRef ref="out"/></Root>
  </Loggers>
</Configuration>
"""


@dataclass(frozen=True)
class Kafka:
    """A cluster that runs, without topics. Topics are not made by use (`auto.create.topics.enable=false`)."""

    url: str  # for HEADWATER_BUS_URL
    bootstrap: str  # for Kafka's own clients: host:port,…
    nodes: list[Node]  # node i has the broker id i + 1

    def kill(self) -> None:
        """SIGKILL for every broker."""
        for node in self.nodes:
            node.kill()

    def start(self) -> None:
        """Start the brokers that are not running, together: one of three gets ready only with another."""
        start_all(self.nodes)

    def in_sync(self) -> bool:
        """Whether every replica of every partition has caught up, which takes a moment longer than to be ready."""
        topics = _admin(self.bootstrap).list_topics(timeout=5).topics
        partitions = [each for topic in topics.values() for each in topic.partitions.values()]
        return all(len(each.isrs) == len(each.replicas) for each in partitions)


def missing() -> str:
    """Why it cannot run here, or an empty string."""
    return cache.missing_programs("java") if cache.is_whole(_folder()) else cache.missing_programs("java", "mvn")


def install() -> Path:
    """The folder of the jars, fetched at the first call.

    Raises:
        EngineError: Maven failed, or brought other jars than the pinned ones.
    """
    return cache.ensure(_folder(), _build) / "lib"


@contextlib.contextmanager
def running(
    *, brokers: int = 1, home: Path, heap_mib: int = 0, port: int = 0, settings: Mapping[str, str] | None = None
) -> Iterator[Kafka]:
    """Run one broker or three with their data under `home`, and wait until each knows all.

    Args:
        heap_mib: Java heap of each broker. 0: 512 MiB and a compiler for a quick start; more: for benchmarks.
        port: The first broker listens here if that is free.
        settings: Lines of the brokers' configuration, beside ours or in their place.
    """
    jars, home = install(), home.absolute()
    free = ports.free(2 * brokers, prefer=port)
    listen, control = free[:brokers], free[brokers:]
    cluster_id = _cluster_id(home)
    nodes = []
    for index, name in enumerate(f"kafka-{number + 1}" for number in range(brokers)):
        config = _write_config(home / name, index, listen, control, settings or {})
        _format(jars, config, cluster_id)
        nodes.append(_node(name, jars, config, heap_mib, listen, index))
    bootstrap = ",".join(f"{ports.HOST}:{port}" for port in listen)
    try:
        start_all(nodes)
        yield Kafka(f"kafka://{bootstrap}", bootstrap, nodes)
    finally:
        # A broker that stops waits for the quorum, which is going too: there is nothing to wait for.
        stop_all(nodes, within_s=1.0 if brokers > 1 else 15.0)


def _node(name: str, jars: Path, config: Path, heap_mib: int, listen: list[int], index: int) -> Node:
    quick = QUICK_START if not heap_mib else []
    return Node(
        name,
        [
            "java",
            f"-Xmx{heap_mib or HEAP_MIB}m",
            *quick,
            f"-Dlog4j2.configurationFile={config.with_name('log4j2.xml')}",
            "-cp",
            f"{jars}/*",
            "kafka.Kafka",
            str(config),
        ],
        log=config.with_name("kafka.log"),
        is_ready=lambda: _knows(listen[index], index + 1, len(listen)),
    )


def _knows(port: int, broker: int, brokers: int) -> bool:
    """Whether the broker at `port` serves, and knows itself and enough of the others for writes."""
    if not ports.is_open(port):
        return False
    from confluent_kafka import KafkaException

    with contextlib.suppress(KafkaException):
        known = _admin(f"{ports.HOST}:{port}").list_topics(timeout=2).brokers
        return broker in known and len(known) >= (brokers // 2 + 1)
    return False


def _admin(bootstrap: str) -> AdminClient:
    from confluent_kafka.admin import AdminClient

    quiet = logging.getLogger("scripts.engines.kafka.probe")
    quiet.disabled = True  # that nobody answers yet is no news
    return AdminClient({"bootstrap.servers": bootstrap, "socket.timeout.ms": 2000, "logger": quiet})


def _write_config(folder: Path, index: int, listen: list[int], control: list[int], more: Mapping[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log4j2.xml").write_text(LOGGING)
    replicas = min(3, len(listen))
    lines = {
        "process.roles": "broker,controller",
        "node.id": index + 1,
        "controller.quorum.voters": ",".join(f"{i + 1}@{ports.HOST}:{port}" for i, port in enumerate(control)),
        "listeners": f"PLAINTEXT://{ports.HOST}:{listen[index]},CONTROLLER://{ports.HOST}:{control[index]}",
        "advertised.listeners": f"PLAINTEXT://{ports.HOST}:{listen[index]}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": folder / "data",
        "auto.create.topics.enable": "false",
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 300,
        "group.initial.rebalance.delay.ms": 0,
        "log.cleaner.dedupe.buffer.size": 4 << 20,
        "min.insync.replicas": 2 if replicas == 3 else 1,
        "default.replication.factor": replicas,
        "offsets.topic.num.partitions": 2,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": 2,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": 2 if replicas == 3 else 1,
        **more,
    }
    config = folder / "server.properties"
    config.write_text("".join(f"{key}={value}\n" for key, value in lines.items()))
    return config


def _format(jars: Path, config: Path, cluster_id: str) -> None:
    """Give the data folder its identity, once."""
    if (config.with_name("data") / "meta.properties").exists():
        return
    tool = ["java", *QUICK_START, f"-Dlog4j2.configurationFile={config.with_name('log4j2.xml')}", "-cp", f"{jars}/*"]
    cache.run([*tool, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(config)], folder=config.parent)


def _cluster_id(home: Path) -> str:
    kept = home / "cluster.id"
    if not kept.exists():
        home.mkdir(parents=True, exist_ok=True)
        # Kafka's tool takes an id that begins with a dash for an option: the first bits are never those of one.
        made = bytes([uuid.uuid4().bytes[0] & 0x7F]) + uuid.uuid4().bytes[1:]
        kept.write_text(base64.urlsafe_b64encode(made).decode().rstrip("="))
    return kept.read_text()


def _build(folder: Path) -> None:
    maven.copy_jars(PACKAGES, folder / "lib", cache.checksums(PINS))


def _folder() -> Path:
    return cache.folder(f"kafka-{VERSION}", (cache.HERE / PINS).read_text())
