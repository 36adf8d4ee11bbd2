"""Records that arrived on days before today, put on the bus as the ingestion service put them there then."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
from pathlib import Path

import bus
from contracts.messages import BatchHeader, Kind, Message, to_headers
from contracts.settings import load_settings
from contracts.tenants import tenant_named

BATCHES, RECORDS = 6, 200


def fill(data: Path, *days: dt.date, skewed: dt.date | None = None) -> int:
    """Logs of the service `shop` on each of the days, ascending; on `skewed`, the service `mailer` is an hour ahead."""
    settings = load_settings(_env_file=None, data_dir=data)
    data.mkdir(parents=True, exist_ok=True)
    number = 0
    with contextlib.closing(bus.open_bus(settings.bus, settings)) as queue:
        for day in days:
            noon_ns = int(dt.datetime(day.year, day.month, day.day, 12, tzinfo=dt.UTC).timestamp()) * 10**9
            for batch in range(BATCHES):
                queue.append(*_message(noon_ns + batch * 60 * 10**9, number, skewed == day))
                number += RECORDS
    return number


def _message(at_ns: int, sequence: int, skewed: bool) -> tuple[str, str, list[Message]]:
    lines = []
    for index in range(RECORDS):
        ahead = skewed and index % 4 == 0
        record = {
            "timestamp": at_ns - index * 10**6 + (3600 * 10**9 if ahead else 0),
            "body": f"request {sequence + index} took {index % 90} ms",
            "service": "mailer" if ahead else "shop",
            "env": "prod",
            "host": "h1",
            "level": "info",
        }
        lines.append(json.dumps(record))
    header = BatchHeader(
        tenant=tenant_named("default"),
        kind=Kind.LOGS,
        producer="shop",
        epoch=1,
        sequence=sequence,
        count=RECORDS,
        span=RECORDS,
        received_ns=at_ns,
    )
    return Kind.LOGS.topic, header.stream_key, [Message("\n".join(lines).encode(), to_headers(header))]
