"""A bus, a lake and a hot store in one folder, and what the flows would do with a batch, step by step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import httpx

from bus import open_bus
from contracts.batches import Batch, Reject
from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.records import EventRow, LogRow, MetricRow, Row
from contracts.settings import load_settings
from contracts.tenants import Role, Tenant
from lakehouse import open_hot, open_lake
from lakehouse.read.search import Search
from query_api.app import mount
from tests.query_api.in_process import client_of
from web.keys import create_key
from web.service import create_service

SECOND = 1_000_000_000
NOW = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z
OURS, THEIRS = Tenant("ours"), Tenant("theirs")


def log(body: str, at_ns: int = NOW, **fields: object) -> LogRow:
    values: dict[str, object] = {
        "index": 0,
        "timestamp_ns": at_ns,
        "severity_number": 9,
        "severity_text": "INFO",
        "service": "shop",
        "env": "prod",
        "host": "web-1",
        "body": body,
        "attributes": {},
        "trace_id": "",
        "span_id": "",
    }
    return LogRow(**(values | fields))  # type: ignore[arg-type]  # the names above are the fields


def event(name: str, at_ns: int = NOW, **attributes: object) -> EventRow:
    return EventRow(0, at_ns, name, f"{name} happened", "shop", "prod", "web-1", attributes)


def metric(name: str, value: float, at_ns: int = NOW, host: str = "web-1", metric_kind: str = "gauge") -> MetricRow:
    return MetricRow(0, at_ns, name, value, "1", metric_kind, "shop", "prod", host, {})


class World:
    """`send` puts a message on the bus; `land` and `index` do with its batch what lake sink and hot sink do.

    `client` is the real application, in this process, with a key of the tenant and role.
    """

    def __init__(self, folder: Path) -> None:
        self.settings = load_settings(data_dir=folder, bus_group_commit_ms=0)
        self.bus = open_bus(self.settings.bus, self.settings)
        self.lake = open_lake(self.settings.lake, self.settings)
        self.hot = open_hot(self.settings.hot, self.settings)
        self.now_ns = NOW
        self.clients: list[httpx.Client] = []
        self._sequences: dict[tuple[Tenant, Kind], int] = defaultdict(int)

    def send(
        self, kind: Kind, rows: Sequence[Row], tenant: Tenant = OURS, duplicates: int = 0, rejects: int = 0
    ) -> Batch:
        for index, row in enumerate(rows):
            row.index = index
        count = len(rows) + duplicates + rejects
        header = BatchHeader(
            tenant=tenant,
            kind=kind,
            producer="tester",
            stream="s",
            sequence=self._sequences[tenant, kind],
            count=count,
            span=count,
            received_ns=NOW,
        )
        self._sequences[tenant, kind] += count
        message = Message(b"\n".join([b"{}"] * count), to_headers(header))
        partition = self.bus.partition_for(kind.topic, header.stream_key)
        (offset,) = self.bus.append(kind.topic, header.stream_key, [message])
        bad = [Reject(len(rows) + n, b"{", "invalid_json", "not JSON", "parse") for n in range(rejects)]
        return Batch(header, partition, offset, rows, bad, count, duplicates)

    def land(self, kind: Kind, batches: Sequence[Batch]) -> None:
        writer = self.lake.writer(kind)
        writer.append(batches)
        writer.commit()
        writer.close()

    def index(self, kind: Kind, batches: Sequence[Batch]) -> None:
        writer = self.hot.writer(kind)
        writer.append(batches)
        writer.commit()
        writer.close()

    def store(self, kind: Kind, rows: Sequence[Row], tenant: Tenant = OURS) -> None:
        """All the way: bus, hot store, lake."""
        batch = self.send(kind, rows, tenant)
        self.index(kind, [batch])
        self.land(kind, [batch])

    def client(self, tenant: Tenant = OURS, role: Role = Role.READ, with_hot: bool = True) -> httpx.Client:
        app = create_service("test", self.settings)
        hot = self.hot if with_hot else None
        search = Search(hot, self.lake, self.settings)
        mount(app, search, self.bus, self.lake, hot, self.settings, clock=lambda: self.now_ns)
        token = create_key(self.settings.keys_file, tenant, role).token
        self.clients.append(client_of(app, headers={"X-API-Key": token}))
        return self.clients[-1]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.hot.close()
        self.lake.close()
        self.bus.close()
