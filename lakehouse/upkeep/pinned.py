"""Pinned: SQL over one version of one table -> rows, in bounded memory; for upkeep, which has no deadline."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from lakehouse.delta.table import Delta, translated
from lakehouse.lake.view import View, bounded
from lakehouse.sql.literals import day_literal

MEMORY_MIB = 512  # of one query; a query that needs more writes to the system's folder for temporary files

_PLAIN = {"string_view": "string", "large_string": "string", "binary_view": "binary", "large_binary": "binary"}


class PinnedRows:
    """One version of a table; later commits are not seen. Not thread-safe.

    If a view is pinned, `every` and `day` include the rows of the archive.

    Attributes:
        columns: Names and types in the table; they may differ from `SCHEMAS`.
    """

    def __init__(self, pinned: Delta | View) -> None:
        self._view = pinned if isinstance(pinned, View) else View(pinned)
        self.name, self.version = self._view.lake.name, self._view.lake.version
        self._builder = bounded(MEMORY_MIB)
        self._view.register(self._builder)
        self.columns = {
            field.name: _plain(field.type) for field in self.table(f"SELECT * FROM {self.name} LIMIT 0").schema
        }

    def table(self, sql: str) -> pa.Table:
        """Run one SELECT.

        Raises:
            StoreError: The query needed too much memory, or a file cannot be read.
        """
        with translated(f'lake table "{self.name}" cannot be queried'):
            return pa.RecordBatchReader.from_stream(self._builder.execute(sql)).read_all()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return self.table(sql).to_pylist()

    def day(self, day: dt.date, names: Sequence[str], schema: pa.Schema) -> str:
        """The rows of a day as a subquery with the columns `names`; a column that the table lacks is NULL."""
        lost = {
            name: f"arrow_cast(NULL, '{_engine_type(schema.field(name).type)}')"
            for name in names
            if name not in self.columns
        }
        columns = ", ".join(f"{lost[name]} AS {name}" if name in lost else name for name in names)
        return self.every(columns, f"day = {day_literal(day)}")

    def every(self, columns: str, where: str) -> str:
        """The rows that match, as a subquery."""
        return self._view.rows_sql(columns, where)


def pinned_rows(table: Delta, sql: str) -> list[dict[str, Any]]:
    """Run one SELECT over the version of `table`."""
    return PinnedRows(table).rows(sql)


def _plain(dtype: pa.DataType) -> str:
    if isinstance(dtype, pa.DictionaryType):
        dtype = dtype.value_type
    return _PLAIN.get(str(dtype), str(dtype))


def _engine_type(dtype: pa.DataType) -> str:
    if pa.types.is_timestamp(dtype):
        return 'Timestamp(Microsecond, Some("UTC"))'
    if pa.types.is_date32(dtype):
        return "Date32"
    return {"string": "Utf8", "double": "Float64", "binary": "Binary", "int32": "Int32", "int64": "Int64"}[str(dtype)]
