"""What users see of a record: stored columns of either tier -> its public fields.

One function for hot store and lake, so that a record reads the same wherever it comes from.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from contracts.messages import Kind
from contracts.records import record_id

_EPOCH = dt.datetime(1970, 1, 1)  # noqa: DTZ001  # naive: an offset would be written

# Public name -> name of the column, in the order in which they are shown.
_RESOURCE = {"service": "service", "env": "env", "host": "host"}
_SHOWN: dict[Kind, dict[str, str]] = {
    Kind.LOGS: {
        "severity_text": "severity_text",
        "severity_number": "severity_number",
        **_RESOURCE,
        "body": "body",
        "attributes": "attributes",
        "trace_id": "trace_id",
        "span_id": "span_id",
    },
    Kind.EVENTS: {"name": "name", "body": "body", **_RESOURCE, "attributes": "attributes"},
    Kind.METRICS: {
        "name": "name",
        "value": "value",
        "unit": "unit",
        "kind": "metric_kind",
        **_RESOURCE,
        "attributes": "attributes",
    },
}


def rfc3339(time_ns: int) -> str:
    """UTC with microseconds and "Z"; what is finer is cut off."""
    moment = _EPOCH + dt.timedelta(microseconds=time_ns // 1000)
    return f"{moment.isoformat(timespec='microseconds')}Z"


def public_fields(kind: Kind, record: Mapping[str, Any]) -> dict[str, Any]:
    """The record by its public names.

    Args:
        kind: Logs, metrics or events; dead letters are not shown.
        record: `tenant`, `producer`, `epoch`, `stream`, `sequence` (of the record itself), `timestamp_ns`,
            `received_ns`, and the row's own columns; `attributes` as a dict.
    """
    identity = (record["tenant"], record["producer"], record["epoch"], record["stream"], record["sequence"])
    shown: dict[str, Any] = {
        "id": record_id(*identity),
        "timestamp": rfc3339(record["timestamp_ns"]),
        "observed_timestamp": rfc3339(record["received_ns"]),
    }
    for name, column in _SHOWN[kind].items():
        shown[name] = record[column]
    return shown
