"""What Fluent Bit's output `http` sends for the same records, in each of its formats, by the real encodings."""

from __future__ import annotations

import json
import struct
from typing import Any

import msgspec
from msgspec.msgpack import Ext

SECOND = 1_764_531_607
RECORDS: list[dict[str, Any]] = [
    {
        "log": "2026-11-30 WARN slow\n",
        "stream": "stdout",
        "kubernetes": {"pod_name": "web-1", "labels": {"app": "web"}},
    },
    {"message": "paid", "level": "error", "host": "h1"},
    {"remote": "10.0.0.1", "method": "GET", "path": "/", "code": "200"},
]


def event_time(second: int = SECOND, nanosecond: int = 123_456_000) -> Ext:
    return Ext(0, struct.pack(">II", second & 0xFFFFFFFF, nanosecond))


def entries(metadata: bool = True) -> list[Any]:
    """Entries as the agent holds them; without `metadata` as versions before 2.1 write them."""
    return [[[event_time(), {}] if metadata else event_time(), record] for record in RECORDS]


def msgpack(values: list[Any]) -> bytes:
    return b"".join(map(msgspec.msgpack.encode, values))


def dated() -> list[dict[str, Any]]:
    return [{"date": SECOND + 0.123456, **record} for record in RECORDS]


def bodies() -> dict[str, tuple[str, bytes]]:
    """Format -> (media type, body)."""
    texts = [json.dumps(record, separators=(",", ":")) for record in dated()]
    return {
        "msgpack": ("application/msgpack", msgpack(entries())),
        "msgpack before 2.1": ("application/msgpack", msgpack(entries(metadata=False))),
        "json": ("application/json", f"[{','.join(texts)}]".encode()),
        "json_lines": ("application/json", "".join(f"{text}\n" for text in texts).encode()),
        "json_lines as ndjson": ("application/x-ndjson", "\n".join(texts).encode()),
        "json_stream": ("application/json", "".join(texts).encode()),
    }
