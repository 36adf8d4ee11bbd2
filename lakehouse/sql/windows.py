"""Windows: raw points, or rows of windows -> one row a series and window, by SQL in bounded memory.

`count`, `sum`, `min`, `max`, the sketch, and `last`: the value at the latest (timestamp, place on the bus).
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
from deltalake import QueryBuilder

from lakehouse.delta.schemas import SCHEMAS, SERIES, SORTED_BY
from lakehouse.delta.table import translated
from lakehouse.sql.sketch import added_up, key_sql

_LAST = {
    "last_timestamp": "timestamp",
    "last_partition": "bus_partition",
    "last_offset": "bus_offset",
    "last_index": "bus_index",
}
_SKETCH = ("sketch_keys", "sketch_counts")


def points_sql(relation: str, where: str, width_s: int) -> str:
    """Windows of the raw points of `relation`; each key of the sketch stands once for each point."""
    us = width_s * 1_000_000
    start = f"arrow_cast(CAST(timestamp AS BIGINT) / {us:d} * {us:d}, 'Timestamp(Microsecond, Some(\"UTC\"))')"
    by = f"day, {', '.join(SERIES)}"
    order = ", ".join(_LAST.values())
    last = ", ".join(
        f"last_value({raw} ORDER BY {order}) AS {name}" for name, raw in [("last", "value"), *_LAST.items()]
    )
    return (
        f"SELECT {by}, {start} AS start, count(*) AS count, sum(value) AS sum, min(value) AS min, max(value) AS max, "
        f"{last}, array_agg({key_sql('value')}) AS sketch_keys FROM {relation} WHERE {where} GROUP BY {by}, {start}"
    )


def sums_sql(relation: str, where: str) -> str:
    """Windows of the rows of windows of `relation`, added up."""
    by = f"day, {', '.join(SERIES)}"
    order = ", ".join(_LAST)
    last = ", ".join(f"last_value({name} ORDER BY {order}) AS {name}" for name in ("last", *_LAST))
    lists = ", ".join(f"flatten(array_agg({name})) AS {name}" for name in ("sketch_keys", "sketch_counts"))
    return (
        f'SELECT {by}, start, sum("count") AS count, sum("sum") AS sum, min("min") AS min, max("max") AS max, '
        f"{last}, {lists} FROM (SELECT *, timestamp AS start FROM {relation} WHERE {where}) GROUP BY {by}, start"
    )


def windows(builder: QueryBuilder, name: str, sql: str) -> pa.Table:
    """Run `points_sql` or `sums_sql`: rows of table `name`, in the order of `SORTED_BY`.

    Raises:
        StoreError: It needs too much memory, or a file cannot be read.
    """
    with translated(f'points for lake table "{name}" cannot be read'):
        found = pa.RecordBatchReader.from_stream(builder.execute(sql)).read_all()
        return _rows(name, found)


def _rows(name: str, found: pa.Table) -> pa.Table:
    schema = SCHEMAS[name]
    if not found.num_rows:
        return schema.empty_table()
    columns: dict[str, Any] = {column: found.column(column) for column in found.column_names}
    columns["timestamp"] = columns.pop("start")
    lists = {column: _cast(columns.get(column), schema.field(column).type) for column in _SKETCH}
    columns |= dict(zip(_SKETCH, added_up(*lists.values()), strict=True))
    rows = pa.table([columns[field.name] for field in schema], names=schema.names).cast(schema)
    return rows.sort_by([(column, "ascending") for column in SORTED_BY])


def _cast(column: pa.ChunkedArray[Any] | None, dtype: pa.DataType) -> Any:
    return None if column is None else column.cast(dtype).combine_chunks()
