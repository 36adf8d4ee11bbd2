"""Copying: rows of one table -> another table, batch by batch, with checksums that show whether both are equal.

The print of a row is a digest of the text of all its columns. Prints of many rows are added up, so the order of the
rows does not count. Memory is bounded by the size of the batches, not by the size of the day.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import QueryBuilder
from deltalake.transaction import AddAction

from lakehouse.delta.layout import ROW_GROUP_ROWS
from lakehouse.delta.schemas import SCHEMAS, sorted_rows
from lakehouse.delta.table import Delta, translated
from lakehouse.sql.literals import day_literal

MEMORY_MIB = 128  # limit of the query engine, which sorts nothing here
WINDOW_ROWS, WINDOW_BYTES = 16_384, 8 << 20  # sorted at once; a compacted day is sorted already
FILE_BYTES = 4 << 30  # largest file, before compression

_PRINT = "print_of_row"
_WORDS = 4  # 64 bits each


@dataclass(frozen=True, slots=True)
class Prints:
    """Number of rows, the sum of their prints, first and last event time."""

    rows: int
    print: str
    first: dt.datetime | None
    last: dt.datetime | None

    def differs(self, other: Prints) -> str:
        """The difference from `other` in words."""
        if self.rows != other.rows:
            return f"{self.rows:,} rows instead of {other.rows:,}"
        if (self.first, self.last) != (other.first, other.last):
            return f"event times from {self.first} to {self.last} instead of {other.first} to {other.last}"
        return f"the same number of rows with other values (print {self.print} instead of {other.print})"


class _Sum:
    def __init__(self) -> None:
        self._words: npt.NDArray[np.uint64] = np.zeros(_WORDS, np.uint64)
        self._rows = 0
        self._times: list[dt.datetime] = []

    def add(self, batch: pa.RecordBatch) -> None:
        digests = batch.column(_PRINT).cast(pa.binary(8 * _WORDS))
        words = np.frombuffer(_values_of(digests), np.uint64)
        words = words[digests.offset * _WORDS : (digests.offset + len(digests)) * _WORDS]
        self._words += words.reshape(-1, _WORDS).sum(axis=0, dtype=np.uint64)
        self._rows += len(digests)
        column = batch.column("timestamp")
        times = [*self._times, *(time for time in (pc.min(column).as_py(), pc.max(column).as_py()) if time is not None)]
        self._times = [min(times), max(times)] if times else []

    def total(self) -> Prints:
        first, last = self._times or (None, None)
        return Prints(self._rows, self._words.tobytes().hex(), first, last)


def _values_of(column: pa.Array[Any]) -> memoryview:
    values = column.buffers()[1]
    return memoryview(values if values is not None else b"")


def prints(table: Delta, where: str) -> Prints:
    """Read the rows that match `where` in the version of `table` and return their prints.

    Raises:
        StoreError: The table cannot be read.
    """
    total = _Sum()
    with translated(f"{table.what} cannot be read"):
        for batch in _read(table, where, ("timestamp",)):
            total.add(batch)
    return total.total()


def copy(
    source: Delta,
    target: Delta,
    day: dt.date,
    constants: Mapping[str, int],
    numbers: Mapping[str, int],
    scratch: Path | None = None,
) -> Prints:
    """Append a day's rows of `source` to `target` in one commit that notes `numbers`; return the prints of the rows.

    Args:
        constants: Values of the columns that partition `target` beside the day.
        scratch: Folder on a disk with room for one file; the file is written there before it goes to a bucket.

    Raises:
        CommitFailedError: Another process noted one of these names meanwhile; nothing was written.
        StoreError: `source` cannot be read or `target` cannot be written.
    """
    total, files = _Sum(), target.new_files(scratch)
    with translated(f"{source.what} cannot be read"):
        batches = _read(source, f"day = {day_literal(day)}", SCHEMAS[source.name].names)
        windows = _windows(batches, total, SCHEMAS[source.name])
        first = next(windows, None)
    if first is None:
        return total.total()
    partition = {"day": day.isoformat(), **{name: str(value) for name, value in constants.items()}}
    written: list[AddAction] = []
    rows = _batches(source, chain((first,), windows))
    with translated(f"{target.what} cannot be written"):
        while (made := files.write(partition, _some(rows), _trace_ids(first), len(written))) is not None:
            written.append(made)
    target.add_files(written, numbers)
    return total.total()


def _batches(source: Delta, windows: Iterator[pa.Table]) -> Iterator[pa.RecordBatch]:
    with translated(f"{source.what} cannot be read"):
        for window in windows:
            yield from window.to_batches()


def _some(rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The next rows, up to the size of one file."""
    size = 0
    for batch in rows:
        yield batch
        if (size := size + batch.nbytes) >= FILE_BYTES:
            return


def _trace_ids(window: pa.Table) -> int:
    """Estimated number of trace ids in a file, by its first rows; 0: none."""
    if "trace_id" not in window.column_names:
        return 0
    return ROW_GROUP_ROWS if len(window.column("trace_id").unique()) > 1 else 0


def _read(table: Delta, where: str, columns: tuple[str, ...] | list[str]) -> pa.RecordBatchReader:
    builder = QueryBuilder()
    builder.execute(f"SET datafusion.runtime.memory_limit = '{MEMORY_MIB}M'")
    builder.execute("SET datafusion.execution.target_partitions = 1")  # one file after the other
    table.register(builder)
    texts = ", ".join(_text_sql(field) for field in SCHEMAS[table.name])
    print_sql = f"digest(concat_ws(chr(31), {texts}), 'blake3') AS {_PRINT}"
    sql = f"SELECT {', '.join(columns)}, {print_sql} FROM {table.name} WHERE {where}"
    return pa.RecordBatchReader.from_stream(builder.execute(sql))


def _text_sql(field: pa.Field[pa.DataType]) -> str:
    text = f"encode({field.name}, 'hex')" if pa.types.is_binary(field.type) else f"CAST({field.name} AS VARCHAR)"
    return f"coalesce({text}, chr(0))"


def _windows(batches: pa.RecordBatchReader, total: _Sum, schema: pa.Schema) -> Iterator[pa.Table]:
    """Tables of several batches; the rows of each table are sorted."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        total.add(batch)
        arrays = [batch.column(field.name).cast(field.type) for field in schema]
        held.append(pa.RecordBatch.from_arrays(arrays, schema=schema))
        rows, size = sum(part.num_rows for part in held), sum(part.nbytes for part in held)
        if rows >= WINDOW_ROWS or size >= WINDOW_BYTES:
            yield sorted_rows(pa.Table.from_batches(held, schema))
            held = []
    if held:
        yield sorted_rows(pa.Table.from_batches(held, schema))
