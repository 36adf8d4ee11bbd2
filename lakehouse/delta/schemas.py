"""The Delta tables: row structs of one batch -> Arrow columns by an explicit schema.

Every table is partitioned by `day`, the UTC day of arrival. Times have microseconds. A record's id is derived from
(tenant, producer, epoch, stream, sequence) and not stored. Absent text is "", never NULL;
but in `RESERVED` columns it is NULL.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from msgspec.structs import astuple as _as_tuple

from contracts.batches import Batch
from contracts.messages import Kind
from contracts.records import DeadLetterRow, EventRow, LogRow, MetricRow, attributes_json

LEDGER, QUALITY = "ledger", "quality"
ERASURES = "erasures"
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

# Nullable: a table of before gets them by itself. Written as NULL where a kind of row has no such field: reserved, so
# that what fills them later changes no table.
RESERVED: _Columns = [
    ("pattern", _TEXT),  # shape of the text, without what varies
    ("weight", _DOUBLE),  # how many records this one stands for
    ("given", _TEXT),  # logs: JSON of what the sender gave, see `flows.parse.given`
    ("zone", _TEXT),  # logs: time zone in which a time of the text is read that names none
]
RESERVED_NAMES = frozenset(name for name, _ in RESERVED)


def _resource(kind: Kind) -> _Columns:
    return [] if kind is Kind.DEAD_LETTERS else _RESOURCE


def _schema(kind: Kind) -> pa.Schema:
    reserved = [] if kind is Kind.DEAD_LETTERS else RESERVED
    columns = (_BEFORE, _resource(kind), _TIMES, _OWN[kind], _ORIGIN, reserved)
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
_CHECKED: _Columns = [
    ("day", pa.date32()),
    ("name", _TEXT),  # of the table that was checked
    ("timestamp", TIME),
    ("run", _TEXT),
    ("place", _INT),  # among the rows of its run
    ("check_name", _TEXT),
    ("severity", _TEXT),  # ERROR, WARN; FACTS of the day, for later ones; RELEASE of a failed check
    ("passed", pa.bool_()),
    ("details", _TEXT),  # JSON
    ("pipeline", _TEXT),
]
SCHEMAS[QUALITY] = pa.schema(_CHECKED)
_ERASURE: _Columns = [
    ("day", pa.date32()),
    ("tenant", _TEXT),
    ("id", _TEXT),
    ("state", _TEXT),
    ("said_ns", _LONG),
    ("text", _TEXT),
]
SCHEMAS[ERASURES] = pa.schema(_ERASURE)

# Columns that tell one metric series from another, and what a window of a series holds. A window may have several rows:
# each counts points that no other row counts, so adding them up is the window.
SERIES = ("tenant", "service", "env", "host", "name", "unit", "metric_kind", "attributes")
_WINDOW: _Columns = [
    ("day", pa.date32()),
    *((name, _TEXT) for name in SERIES[:4]),
    ("timestamp", TIME),  # start of the window, of event time
    *((name, _TEXT) for name in SERIES[4:]),
    ("count", _LONG),
    ("sum", _DOUBLE),
    ("min", _DOUBLE),
    ("max", _DOUBLE),
    ("last", _DOUBLE),
    ("last_timestamp", TIME),
    ("last_partition", _INT),
    ("last_offset", _LONG),
    ("last_index", _INT),
    ("sketch_keys", pa.list_(_INT)),  # of `lakehouse.sql.sketch`, ascending
    ("sketch_counts", pa.list_(_LONG)),
]
ROLLUPS = {"metrics_1h": 3600, "metrics_1m": 60}  # width of a window, seconds; the coarsest first
SCHEMAS |= {name: pa.schema(_WINDOW) for name in ROLLUPS}

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
FEW_VALUES = {"tenant", "service", "env", "host", "producer", "stream", "pipeline", "severity_text", "name", "unit"}
FEW_VALUES |= {"metric_kind", "reason", "stage", "source_kind", "source_producer", "source_stream"}
FEW_VALUES |= {"given", "zone"}
_DICTIONARY = pa.dictionary(pa.int32(), _TEXT)


def _pending_schema(schema: pa.Schema) -> pa.Schema:
    return pa.schema([pa.field(f.name, _DICTIONARY if f.name in FEW_VALUES else f.type) for f in schema])


PENDING_SCHEMAS = {kind: _pending_schema(SCHEMAS[kind.value]) for kind in Kind}


_ROWS: dict[Kind, Any] = {
    Kind.LOGS: LogRow,
    Kind.METRICS: MetricRow,
    Kind.EVENTS: EventRow,
    Kind.DEAD_LETTERS: DeadLetterRow,
}


def _constant(value: Any, dtype: pa.DataType, zeros: pa.Array[Any]) -> pa.Array[Any]:
    if dtype == _DICTIONARY:
        return pa.DictionaryArray.from_arrays(zeros, pa.array([value], _TEXT))
    repeated: pa.Array[Any] = pa.repeat(pa.scalar(value, dtype), len(zeros))  # type: ignore[call-overload]  # stubs
    return repeated


def nulls(count: int, dtype: pa.DataType) -> pa.Array[Any]:
    absent: pa.Array[Any] = pa.nulls(count, dtype)  # type: ignore[call-overload]  # stubs
    return absent


def _column(values: Sequence[Any], dtype: pa.DataType, zeros: pa.Array[Any]) -> pa.Array[Any]:
    if dtype in (_TEXT, _DICTIONARY) and values.count(values[0]) == len(values):
        # Rows of one sender are much alike.
        return nulls(len(zeros), dtype) if values[0] is None else _constant(values[0], dtype, zeros)
    return pa.array(values, _TEXT).dictionary_encode() if dtype == _DICTIONARY else pa.array(values, dtype)


def record_batch(batch: Batch, pipeline: str) -> pa.RecordBatch:
    """The rows of `batch` (at least one) as Arrow, in the pending schema of its table.

    Raises:
        pyarrow.ArrowInvalid, UnicodeEncodeError, OverflowError: A value does not fit its column.
    """
    header, schema = batch.header, PENDING_SCHEMAS[batch.kind]
    zeros = pa.repeat(pa.scalar(0, _INT), len(batch.rows))
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
    values = dict(zip(_ROWS[batch.kind].__struct_fields__, zip(*map(_as_tuple, batch.rows), strict=True), strict=True))
    index = pa.array(values.pop("index"), _INT)
    arrays["bus_index"], arrays["sequence"] = index, pc.add_checked(index.cast(_LONG), header.sequence)
    arrays["timestamp"] = pc.divide(pa.array(values.pop("timestamp_ns"), _LONG), 1000).cast(TIME)
    if "attributes" in values:
        arrays["attributes"] = pa.array(list(map(attributes_json, values.pop("attributes"))), _TEXT)
    for name, column in values.items():
        texts = [text or None for text in column] if name in RESERVED_NAMES and "" in column else column
        arrays[name] = _column(texts, schema.field(name).type, zeros)
    absent = [field for field in schema if field.name in RESERVED_NAMES - arrays.keys()]
    arrays |= {field.name: nulls(len(zeros), field.type) for field in absent}
    return pa.RecordBatch.from_arrays([arrays[name] for name in schema.names], schema=schema)


def pending_table(kind: Kind, batches: Sequence[pa.RecordBatch]) -> pa.Table:
    """Batches of `record_batch` as one table of one chunk."""
    return pa.Table.from_batches(batches, PENDING_SCHEMAS[kind]).unify_dictionaries().combine_chunks()


def sorted_rows(rows: pa.Table) -> pa.Table:
    """A pending table in the order of `SORTED_BY`."""
    keys = {name: sort_key(rows.column(name)) for name in SORTED_BY if name in rows.column_names}
    order = pc.sort_indices(pa.table(keys), sort_keys=[(name, "ascending") for name in keys])
    return rows.take(order)


def sort_key(column: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """Values that sort as those of `column` do."""
    values = column.combine_chunks()
    if not isinstance(values, pa.DictionaryArray):
        return values
    # Arrow sorts no dictionaries: sort by each value's rank among the few distinct ones.
    ranks = pc.rank(values.dictionary, sort_keys="ascending", tiebreaker="dense")
    return ranks.take(values.indices)
