"""Rows of the lake -> records as users see them."""

from __future__ import annotations

import msgspec
import pyarrow as pa

from contracts.hot import Found
from contracts.messages import Kind
from contracts.query import Position
from lakehouse.delta.schemas import SCHEMAS
from lakehouse.record_view import public_fields

_NOT_SHOWN = ("day", "pipeline")
COLUMNS = {kind: [name for name in SCHEMAS[kind.value].names if name not in _NOT_SHOWN] for kind in Kind}
_decode = msgspec.json.Decoder(dict).decode


def found_records(kind: Kind, rows: pa.Table) -> list[Found]:
    """`rows` with `COLUMNS[kind]`, in their order."""
    for name in ("timestamp", "observed_timestamp"):
        at = rows.column_names.index(name)
        rows = rows.set_column(at, name, rows.column(name).cast(pa.int64()))
    found = []
    for row in rows.to_pylist():
        row["timestamp_ns"] = row["timestamp"] * 1000
        row["received_ns"] = row["observed_timestamp"] * 1000
        row["attributes"] = _decode(row["attributes"])
        position = Position(row["bus_partition"], row["bus_offset"], row["bus_index"])
        found.append(Found(row["timestamp_ns"], position, public_fields(kind, row)))
    return found
