"""The Delta tables: row structs of one batch -> Arrow columns by an explicit schema.

Every table is partitioned by `day`, the UTC day of arrival. Time is held in microseconds. A record's id is derived from
(tenant, producer, epoch, stream, sequence) and stored nowhere. Absent text is "", never NULL.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa

from contracts.batches import Batch
from contracts.messages import Kind
from contracts.records import attributes_text

LEDGER = "ledger"
TIME = pa.timestamp("us", "UTC")

_TEXT, _LONG, _INT, _DOUBLE = pa.string(), pa.int64(), pa.int32(), pa.float64()

_Columns = list[tuple[str, pa.DataType]]

_BEFORE: _Columns = [("day", pa.date32()), ("tenant", _TEXT)]
_RESOURCE: _Columns = [("service", _TEXT), ("env", _TEXT), ("host", _TEXT)]
_TIMES: _Columns = [("timestamp", TIME), ("observed_timestamp", TIME)]
_ORIGIN: _Columns = [
    ("producer", _TEXT),
    ("epoch", _LONG),
    ("stream", _TEXT),
    ("sequence", _LONG),
    ("bus_partition", _INT),
    ("bus_offset", _LONG),
    ("bus_index", _INT),
    ("pipeline", _TEXT),
]
_OWN: dict[Kind, _Columns] = {
    Kind.LOGS: [
        ("severity_number", _INT),
        ("severity_text", _TEXT),
        ("body", _TEXT),
        ("attributes", _TEXT),
        ("trace_id", _TEXT),
        ("span_id", _TEXT),
    ],
    Kind.METRICS: [
        ("name", _TEXT),
        ("value", _DOUBLE),
        ("unit", _TEXT),
        ("metric_kind", _TEXT),
        ("attributes", _TEXT),
    ],
    Kind.EVENTS: [("name", _TEXT), ("body", _TEXT), ("attributes", _TEXT)],
    Kind.DEAD_LETTERS: [
        ("payload", pa.binary()),
        ("reason", _TEXT),
        ("message", _TEXT),
        ("stage", _TEXT),
        ("source_kind", _TEXT),
        ("source_partition", _INT),
        ("source_offset", _LONG),
        ("source_index", _INT),
        ("source_producer", _TEXT),
        ("source_epoch", _LONG),
        ("source_stream", _TEXT),
        ("source_sequence", _LONG),
    ],
}


def _resource(kind: Kind) -> _Columns:
    return [] if kind is Kind.DEAD_LETTERS else _RESOURCE


def _schema(kind: Kind) -> pa.Schema:
    columns: _Columns = [*_BEFORE, *_resource(kind), *_TIMES, *_OWN[kind], *_ORIGIN]
    return pa.schema(columns)


SCHEMAS: dict[str, pa.Schema] = {kind.value: _schema(kind) for kind in Kind}
SCHEMAS[LEDGER] = pa.schema(
    [
        ("day", pa.date32()),
        ("tenant", _TEXT),
        ("kind", _TEXT),
        ("bus_partition", _INT),
        ("first_offset", _LONG),
        ("next_offset", _LONG),
        ("received", _LONG),
        ("landed", _LONG),
        ("duplicates", _LONG),
        ("dead_lettered", _LONG),
        ("dropped", _TEXT),
        ("lost", _LONG),
    ]
)

SORTED_BY = ("tenant", "service", "timestamp")  # the order inside a commit that lets row-group statistics prune

# Statistics of long text would bloat the Delta log; these are what reads prune by.
_PRUNED_BY = ("tenant", "service", "env", "name", "timestamp", "observed_timestamp", "bus_partition", "bus_offset")


def statistics_columns(name: str) -> list[str]:
    return [column for column in _PRUNED_BY if column in SCHEMAS[name].names]


def pipeline_version() -> str:
    """Version text of the code that makes the rows, stored with each of them."""
    try:
        return f"headwater/{importlib.metadata.version('headwater')}"
    except importlib.metadata.PackageNotFoundError:
        return "headwater/unreleased"


def _attributes(rows: Sequence[Any]) -> list[str]:
    return [attributes_text(row.attributes) for row in rows]


def _times(rows: Sequence[Any]) -> list[int]:
    return [row.timestamp_ns // 1000 for row in rows]


def _values(column: str) -> Callable[[Sequence[Any]], list[Any]]:
    return lambda rows: [getattr(row, column) for row in rows]


def _row_columns(kind: Kind) -> list[tuple[str, Callable[[Sequence[Any]], list[Any]]]]:
    special = {"attributes": _attributes}
    columns = [name for name, _ in [*_resource(kind), *_OWN[kind]]]
    return [(name, special.get(name) or _values(name)) for name in columns]


_ROW_COLUMNS = {kind: _row_columns(kind) for kind in Kind}


def record_batch(batch: Batch, pipeline: str) -> pa.RecordBatch:
    """The rows of `batch` (at least one) as Arrow, in the schema of its table.

    Raises:
        pyarrow.ArrowInvalid, UnicodeEncodeError, OverflowError: A value does not fit its column.
    """
    header, rows, schema = batch.header, batch.rows, SCHEMAS[batch.kind]
    count = len(rows)
    index = pa.array([row.index for row in rows], _INT)
    constant = {
        "day": batch.day,
        "tenant": header.tenant,
        "observed_timestamp": header.received_ns // 1000,
        "producer": header.producer,
        "epoch": header.epoch,
        "stream": header.stream,
        "bus_partition": batch.partition,
        "bus_offset": batch.offset,
        "pipeline": pipeline,
    }
    arrays: dict[str, pa.Array[Any]] = {
        name: pa.repeat(pa.scalar(value, schema.field(name).type), count) for name, value in constant.items()
    }
    for name, values in _ROW_COLUMNS[batch.kind]:
        arrays[name] = pa.array(values(rows), schema.field(name).type)
    arrays["timestamp"] = pa.array(_times(rows), _LONG).cast(TIME)
    arrays["sequence"] = pa.array([header.sequence + row.index for row in rows], _LONG)
    arrays["bus_index"] = index
    return pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)
