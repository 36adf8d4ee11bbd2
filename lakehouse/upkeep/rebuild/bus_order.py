"""Bus order: rows of the lake in any order -> the same rows in the order of the bus, in bounded memory.

The rows are read once and written to files, one file for each range of bus positions; then the files are sorted one by
one. (The engine's own sort fails at a memory limit when it has to merge runs from disk.) The files have no name, so no
record stays on disk if the process is killed.
"""

from __future__ import annotations

import bisect
import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from contracts.errors import StoreError

PART_ROWS = 50_000  # of one file, about; the rows of a bus message stay together
CHUNK_ROWS = 65_536
_OFFSET_BITS = 38
_KEY = "place"


def place(partition: int, offset: int) -> int:
    return partition << _OFFSET_BITS | offset


def cuts(counted: Iterable[tuple[int, int]]) -> list[int]:
    """(first place, rows) of ranges, ascending -> first places of all parts but the first, about `PART_ROWS` each."""
    found, rows = list[int](), 0
    for first, n in counted:
        if rows and rows + n > PART_ROWS:
            found.append(first)
            rows = 0
        rows += n
    return found


def in_bus_order(
    chunks: Iterable[pa.RecordBatch], schema: pa.Schema, begins: Sequence[int], folder: Path
) -> Iterator[pa.Table]:
    """Tables of all rows, in the order of (bus_partition, bus_offset, bus_index), cut at `begins`.

    Raises:
        StoreError: `folder` cannot hold the files.
    """
    keyed = schema.append(pa.field(_KEY, pa.int64()))
    if not begins:
        rows = pa.Table.from_batches([_keyed(chunk, keyed) for chunk in chunks], keyed)
        yield _sorted(rows).drop_columns([_KEY])
        return
    with contextlib.ExitStack() as opened:
        try:
            parts = [_Part(folder, keyed, opened) for _ in range(len(begins) + 1)]
            for rows in _gathered(chunks, keyed):
                _divide(_sorted(rows), begins, parts)
            for part in parts:
                yield _sorted(part.rows()).drop_columns([_KEY])
        except OSError as error:
            raise StoreError(
                f'"{folder}" cannot hold the rows of a day: {error}',
                hint="free disk space or check permissions",
            ) from error


class _Part:
    """A file of rows that ends with the process."""

    def __init__(self, folder: Path, schema: pa.Schema, opened: contextlib.ExitStack) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file: Any = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  closed with the others
        opened.callback(self._file.close)
        self._stream = pa.ipc.new_stream(self._file, schema, options=pa.ipc.IpcWriteOptions(compression="lz4"))

    def add(self, rows: pa.Table) -> None:
        self._stream.write_table(rows)

    def rows(self) -> pa.Table:
        self._stream.close()
        self._file.seek(0)
        rows = pa.ipc.open_stream(self._file).read_all()
        self._file.truncate(0)
        return rows


def _gathered(chunks: Iterable[pa.RecordBatch], schema: pa.Schema) -> Iterator[pa.Table]:
    """Combine small chunks into tables of about `CHUNK_ROWS` rows."""
    waiting, rows = list[pa.RecordBatch](), 0
    for chunk in chunks:
        waiting.append(_keyed(chunk, schema))
        rows += chunk.num_rows
        if rows >= CHUNK_ROWS:
            yield pa.Table.from_batches(waiting, schema)
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting, schema)


def _keyed(chunk: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    shifted = pc.shift_left(chunk.column("bus_partition").cast(pa.int64()), pa.scalar(_OFFSET_BITS, pa.int64()))
    key = pc.add(shifted, chunk.column("bus_offset"))
    columns = [chunk.column(field.name).cast(field.type) for field in schema if field.name != _KEY]
    return pa.RecordBatch.from_arrays([*columns, key], schema=schema)


def _sorted(rows: pa.Table) -> pa.Table:
    return rows.take(pc.sort_indices(rows, sort_keys=[(_KEY, "ascending"), ("bus_index", "ascending")]))


def _divide(rows: pa.Table, begins: Sequence[int], parts: Sequence[_Part]) -> None:
    keys = rows.column(_KEY).combine_chunks()
    places = memoryview(keys.buffers()[1] or b"").cast("q")[keys.offset : keys.offset + len(keys)]
    start, number = 0, bisect.bisect_right(begins, places[0])
    while start < len(places):
        end = bisect.bisect_left(places, begins[number], lo=start) if number < len(begins) else len(places)
        if end > start:
            parts[number].add(rows.slice(start, end - start))
        start, number = end, number + 1
