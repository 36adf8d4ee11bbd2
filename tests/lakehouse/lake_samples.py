"""Seeds and shapes -> batches for the lake's tests."""

from __future__ import annotations

import datetime as dt
from typing import Any

from contracts.batches import Batch
from contracts.messages import BatchHeader, Kind
from contracts.records import EventRow, LogRow, MetricRow, Row
from contracts.tenants import Tenant, tenant_named
from lakehouse.delta.table import Delta

ACME = tenant_named("acme")
OTHER = tenant_named("other")
NOON_NS = int(dt.datetime(2026, 3, 4, 12, tzinfo=dt.UTC).timestamp()) * 10**9
DAY_NS = 86_400 * 10**9


def log(index: int = 0, body: str = "hello", at_ns: int = NOON_NS, **fields: Any) -> LogRow:
    defaults: dict[str, Any] = {
        "severity_number": 9,
        "severity_text": "INFO",
        "service": "api",
        "env": "prod",
        "host": "h1",
        "attributes": {},
        "trace_id": "",
        "span_id": "",
    }
    return LogRow(index=index, timestamp_ns=at_ns, body=body, **(defaults | fields))


def metric(index: int, value: float, at_ns: int = NOON_NS, **fields: Any) -> MetricRow:
    defaults: dict[str, Any] = {
        "name": "load",
        "unit": "",
        "metric_kind": "gauge",
        "service": "api",
        "env": "prod",
        "host": "h1",
        "attributes": {},
    }
    return MetricRow(index=index, timestamp_ns=at_ns, value=value, **(defaults | fields))


def event(index: int, name: str = "deploy", at_ns: int = NOON_NS) -> EventRow:
    return EventRow(index, at_ns, name, "", "api", "prod", "h1", {})


def batch(
    *rows: Row,
    offset: int,
    partition: int = 0,
    kind: Kind = Kind.LOGS,
    tenant: Tenant = ACME,
    received_ns: int = NOON_NS,
    **account: Any,
) -> Batch:
    header = BatchHeader(
        tenant=tenant, kind=kind, producer=f"p{partition}", epoch=1, sequence=offset * 1000, received_ns=received_ns
    )
    received = len(rows) + account.get("duplicates", 0) + len(account.get("rejects", ()))
    received += sum(account.get("dropped", {}).values())
    return Batch(header, partition, offset, rows, received=received, **account)


def tick(offset: int, partition: int = 0, kind: Kind = Kind.LOGS) -> Batch:
    return Batch(BatchHeader(tenant=ACME, kind=kind, producer="", received_ns=NOON_NS), partition, offset, tick=True)


def orphans(table: Delta) -> set[str]:
    """Files that never were part of a version."""
    table.refresh()
    return set(table.unused(everything=True)) - set(table.unused(everything=False))
