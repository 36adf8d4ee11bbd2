"""The Delta tables: row structs of one batch -> Arrow columns by an explicit schema.

Every table is partitioned by `day`, the UTC day of arrival. Time is held in microseconds. A record's id is derived from
(tenant, producer, epoch, stream, sequence) and stored nowhere. Absent text is "", never NULL.
"""

from __future__ import annotations

import importlib.metadata
import operator
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

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
    columns = (_BEFORE, _resource(kind), _TIMES, _OWN[kind], _ORIGIN)
    return pa.schema([pa.field(name, dtype) for part in columns for name, dtype in part])


SCHEMAS: dict[str, pa.Schema] = {kind.value: _schema(kind) for kind in Kind}
_ACCOUNT: _Columns = [
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
SCHEMAS[LEDGER] = pa.schema(_ACCOUNT)

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


# Text with few distinct values waits for its commit dictionary-encoded: sorting and writing it costs a quarter.
_FEW_VALUES = {"tenant", "service", "env", "host", "producer", "stream", "pipeline", "severity_text", "name", "unit"}
_FEW_VALUES |= {"metric_kind", "reason", "stage", "source_kind", "source_producer", "source_stream"}
_DICTIONARY = pa.dictionary(pa.int32(), _TEXT)


def _pending_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, _DICTIONARY if f.name in _FEW_VALUES else f.type) for f in schema])


PENDING_SCHEMAS = {kind: _pending_schema(SCHEMAS[kind.value]) for kind in Kind}


def _attributes(rows: Sequence[Any]) -> list[str]:
    return [attributes_text(row.attributes) for row in rows]


def _values(column: str) -> Callable[[Sequence[Any]], list[Any]]:
    get = operator.attrgetter(column)
    return lambda rows: list(map(get, rows))


def _row_columns(kind: Kind) -> list[tuple[str, Callable[[Sequence[Any]], list[Any]]]]:
    special = {"attributes": _attributes}
    columns = [name for name, _ in [*_resource(kind), *_OWN[kind]]]
    return [(name, special.get(name) or _values(name)) for name in columns]


_ROW_COLUMNS = {kind: _row_columns(kind) for kind in Kind}


def _constant(value: Any, dtype: pa.DataType, zeros: pa.Array[Any]) -> pa.Array[Any]:
    if dtype == _DICTIONARY:
        return pa.DictionaryArray.from_arrays(zeros, pa.array([value], _TEXT))
    repeated: pa.Array[Any] = pa.repeat(pa.scalar(value, dtype), len(zeros))  # type: ignore[call-overload]  # stubs
    return repeated


def _column(values: list[Any], dtype: pa.DataType) -> pa.Array[Any]:
    return pa.array(values, _TEXT).dictionary_encode() if dtype == _DICTIONARY else pa.array(values, dtype)


def record_batch(batch: Batch, pipeline: str) -> pa.RecordBatch:
    """The rows of `batch` (at least one) as Arrow, in the pending schema of its table.

    Raises:
        pyarrow.ArrowInvalid, UnicodeEncodeError, OverflowError: A value does not fit its column.
    """
    header, rows, schema = batch.header, batch.rows, PENDING_SCHEMAS[batch.kind]
    zeros = pa.repeat(pa.scalar(0, _INT), len(rows))
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
    arrays = {name: _constant(value, schema.field(name).type, zeros) for name, value in constant.items()}
    for name, values in _ROW_COLUMNS[batch.kind]:
        arrays[name] = _column(values(rows), schema.field(name).type)
    index = [row.index for row in rows]
    arrays["timestamp"] = pa.array([row.timestamp_ns // 1000 for row in rows], _LONG).cast(TIME)
    arrays["sequence"] = pa.array([header.sequence + line for line in index], _LONG)
    arrays["bus_index"] = pa.array(index, _INT)
    return pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)


def pending_table(kind: Kind, batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """Batches of `record_batch` as one table of one chunk."""
    return pa.Table.from_batches(batches, PENDING_SCHEMAS[kind]).unify_dictionaries().combine_chunks()


def sorted_rows(rows: pa.Table) -> pa.Table:
    """A pending table in the order of `SORTED_BY`."""
    keys = {name: _sort_key(rows.column(name)) for name in SORTED_BY if name in rows.column_names}
    order = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])
    return rows.take(order)


def _sort_key(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    values = column.combine_chunks()
    if not isinstance(values, pa.DictionaryArray):
        return values
    # Arrow sorts no dictionaries: sort by each value's rank among the few distinct ones.
    ranks = pc.rank(values.dictionary, sort_keys="ascending", tiebreaker="dense")
    return ranks.take(values.indices)
