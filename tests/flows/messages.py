"""Messages for the tests of this room: records of known senders -> what stands on the bus."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import zstandard

from contracts.batches import Batch
from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.records import LogRow
from contracts.tenants import tenant_named
from flows.arrivals import Arrival, Item, arrival

TENANT = tenant_named("default")
ARRIVAL_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
SECOND_NS = 1_000_000_000


def header(**values: Any) -> BatchHeader:
    """A header of an agent's batch with one record, changed by `values`."""
    known = {"tenant": TENANT, "kind": Kind.LOGS, "producer": "agent-1", "stream": "s", "received_ns": ARRIVAL_NS}
    return BatchHeader(**{**known, "count": 1, "span": 1, **values})


def message(lines: Sequence[bytes], packed: bool = False, offset: int = 0, **values: Any) -> Message:
    """A message of the ingestion service; an empty line is a record that it rejected."""
    payload = b"\n".join(lines)
    head = header(
        count=sum(bool(line) for line in lines),
        span=len(lines),
        encoding="zstd" if packed else "identity",
        size_bytes=len(payload),
        **values,
    )
    body = zstandard.ZstdCompressor(level=1).compress(payload) if packed else payload
    return Message(body, to_headers(head), offset, head.received_ns)


def foreign(payload: bytes, offset: int = 0, headers: Mapping[str, str] | None = None) -> Message:
    return Message(payload, headers or {}, offset, ARRIVAL_NS)


def arrived(sent: Message, fresh: tuple[range, ...] | None = None, kind: Kind = Kind.LOGS) -> Arrival:
    found = arrival(kind, TENANT, 0, sent)
    return Arrival(found.header, 0, sent, fresh, found.damage)


def line(body: str, **fields: Any) -> bytes:
    return msgspec.json.encode({"body": body, **fields})


def balanced(item: Item) -> Batch:
    """The batch, after a look at its equation."""
    assert isinstance(item, Batch)
    accounted = len(item.rows) + item.duplicates + len(item.rejects) + sum(item.dropped.values())
    assert item.received == accounted, item
    return item


def logs(item: Item) -> list[LogRow]:
    """The rows of a balanced batch of logs."""
    rows = balanced(item).rows
    return [row for row in rows if isinstance(row, LogRow)]


def bodies(item: Item) -> list[str]:
    return [row.body for row in logs(item)]
