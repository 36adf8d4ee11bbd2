"""Topics of one test, made and looked at past our own code."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator
from typing import Any

from kafka import KafkaAdminClient
from kafka import TopicPartition as Place

from bus import open_bus
from contracts.bus import Bus
from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.settings import load_settings
from contracts.tenants import tenant_named


class Topics:
    """A prefix of its own on a cluster; names are without it."""

    def __init__(self, url: str) -> None:
        self.prefix = f"t{secrets.token_hex(6)}"
        self.url = f"{url}/{self.prefix}"
        self.bootstrap = url.removeprefix("kafka://")

    def full(self, name: str) -> str:
        return f"{self.prefix}.{name}"

    @contextlib.contextmanager
    def bus(self, **values: Any) -> Iterator[Bus]:
        with contextlib.closing(open_bus(self.url, load_settings(_env_file=None, **values))) as opened:
            yield opened

    @contextlib.contextmanager
    def admin(self) -> Iterator[Any]:
        client = KafkaAdminClient(bootstrap_servers=self.bootstrap.split(","))
        try:
            yield client
        finally:
            client.close()

    def create(self, name: str, partitions: int = 2, **configs: str) -> None:
        dotted = {key.replace("_", "."): value for key, value in configs.items()}
        wanted = {"num_partitions": partitions, "replication_factor": 1, "configs": dotted}
        with self.admin() as admin:
            admin.create_topics({self.full(name): wanted})

    def delete(self, name: str) -> None:
        delete(self.bootstrap, self.full(name))

    def expire(self, name: str, partition: int, before: int) -> None:
        """Remove what stands before an offset, as retention does."""
        with self.admin() as admin:
            admin.delete_records({Place(self.full(name), partition): before})


def delete(servers: str, topic: str) -> None:
    """Remove the topic of that full name."""
    client = KafkaAdminClient(bootstrap_servers=servers.removeprefix("kafka://").split(","))
    try:
        client.delete_topics([topic])
    finally:
        client.close()


def batch(lines: list[bytes], producer: str = "p", sequence: int = 0, kind: Kind = Kind.LOGS) -> Message:
    """As the ingestion service makes it, not compressed."""
    payload = b"\n".join(lines)
    header = BatchHeader(
        tenant=tenant_named("default"),
        kind=kind,
        producer=producer,
        sequence=sequence,
        count=sum(1 for line in lines if line),
        span=len(lines),
        received_ns=1_700_000_000_000_000_000,
        size_bytes=len(payload),
    )
    return Message(payload, to_headers(header))
