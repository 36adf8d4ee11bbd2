"""Rows of the lake -> records as users see them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pyarrow as pa

from contracts.errors import StoreError
from contracts.hot import Found
from contracts.messages import Kind
from contracts.query import Cursor, Position, RecordQuery
from lakehouse.delta.schemas import RESERVED, SCHEMAS
from lakehouse.match import record_matcher
from lakehouse.record_view import public_fields
from lakehouse.sql.query import SURE

_NOT_SHOWN = ("day", "pipeline", *(name for name, _ in RESERVED))
COLUMNS = {kind: [name for name in SCHEMAS[kind.value].names if name not in _NOT_SHOWN] for kind in Kind}
MOST_CANDIDATES = 50_000  # rows of one look
_decode = msgspec.json.Decoder(dict).decode


def found_records(kind: Kind, rows: pa.Table, matches: Callable[[Mapping[str, Any]], bool]) -> list[Found]:
    """Of `rows` with `COLUMNS[kind]` and `SURE`, in their order: those that match, surely or by a look at them."""
    for name in ("timestamp", "observed_timestamp"):
        at = rows.column_names.index(name)
        rows = rows.set_column(at, name, rows.column(name).cast(pa.int64()))
    found = []
    for row in rows.to_pylist():
        row["timestamp_ns"] = row["timestamp"] * 1000
        row["received_ns"] = row["observed_timestamp"] * 1000
        row["attributes"] = _decode(row["attributes"])
        if row[SURE] or matches(row):
            found.append(Found(row["timestamp_ns"], position_of(row), public_fields(kind, row)))
    return found


def position_of(row: Mapping[str, Any]) -> Position:
    return Position(row["bus_partition"], row["bus_offset"], row["bus_index"])


def last_cursor(rows: pa.Table) -> Cursor:
    """The place of the last of `rows` (one at least), as a page's end."""
    (row,) = rows.slice(rows.num_rows - 1).select(["timestamp", "bus_partition", "bus_offset", "bus_index"]).to_pylist()
    us = rows.column("timestamp").cast(pa.int64())[rows.num_rows - 1].as_py()
    return Cursor(us * 1000, position_of(row))


def matching_page(query: RecordQuery, settings_s: float, run: Callable[[RecordQuery], pa.Table]) -> list[Found]:
    """One page of `query`: candidates are read page after page, until as many as it takes match.

    Raises:
        StoreError: That took longer than `settings_s` seconds.
    """
    asked, found, ends = query, list[Found](), time.monotonic() + settings_s
    matches = record_matcher(query.where, query.kind)
    while True:
        rows = run(asked)
        found += found_records(query.kind, rows, matches)
        if rows.num_rows < asked.limit or len(found) >= query.limit:
            return found[: query.limit]
        if time.monotonic() > ends:
            raise StoreError(
                f"query of {query.kind.value} took longer than {settings_s:g} s: too many records had to be looked at",
                hint="narrow the time range, or add a word or a field that fewer records have",
            )
        asked = replace(asked, after=last_cursor(rows), limit=min(4 * asked.limit + 100, MOST_CANDIDATES))
