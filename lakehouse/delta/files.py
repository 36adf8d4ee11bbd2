"""Files of a Delta table: batches of one partition -> Parquet files, durable but in no version yet.

`write_deltalake` deals the batches of a stream out to one task per processor and so mixes their order; a file written
here holds them in the order they came. In a bucket a file is there as a whole or not at all: it is made in a temporary
file and sent when it is complete. A file that no commit takes up is deleted, or after a crash swept by vacuum.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import tempfile
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction
from pyarrow.fs import PyFileSystem

from contracts.files import sync_folder
from lakehouse.delta.layout import Layout, parquet_options
from lakehouse.delta.schemas import FEW_VALUES, RESERVED_NAMES, nulls, statistics_columns

LONGEST_BOUND = 256  # characters; longer ones would bloat the log
SENT_BYTES = 8 << 20
GROUP_BYTES = 64 << 20  # of a row group, before compression: it is held until it is written
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())


class Files:
    """The files of table `name` at `url`, a folder or a prefix of a bucket. Thread-safe.

    Args:
        options: Of the object store; empty for a folder.
        scratch: Folder of a disk that has room for a file that is sent to a bucket; None: the system's temporary one.
    """

    def __init__(
        self, url: str, name: str, options: Mapping[str, str], layout: Layout, scratch: Path | None = None
    ) -> None:
        self._name, self._layout, self._scratch = name, layout, scratch
        self._folder = None if "://" in url else Path(url)
        self._bucket = None if self._folder else PyFileSystem(DeltaStorageHandler(url, dict(options)))
        held = [field for field in layout.schema(name) if field.name not in layout.partition_by]
        self.schema = pa.schema([pa.field(f.name, _DICTIONARY if f.name in FEW_VALUES else f.type) for f in held])

    def open(self, path: str, metadata: pq.FileMetaData | None = None) -> pq.ParquetFile:
        """A file to read; text with few values comes dictionary-encoded. Close it."""
        few = [name for name in self.schema.names if name in FEW_VALUES - RESERVED_NAMES]  # older files lack those
        if self._folder is not None:
            return pq.ParquetFile(str(self._folder / path), metadata=metadata, read_dictionary=few)
        return pq.ParquetFile(path, metadata=metadata, read_dictionary=few, filesystem=self._bucket, pre_buffer=True)

    def fitting(self, rows: pa.RecordBatch) -> pa.RecordBatch:
        """Convert rows of any file to the types of `schema`; the library rewrites text in another type, and older files
        have no reserved columns."""
        names = [name for name in rows.schema.names if name in self.schema.names]
        fields = [
            self.schema.field(name)
            for name in (*names, *sorted(RESERVED_NAMES - {*names}))
            if name in self.schema.names
        ]
        columns = [_column(rows, each) for each in fields]
        return pa.RecordBatch.from_arrays(columns, schema=pa.schema(fields))

    def write(
        self,
        partition: Mapping[str, str],
        batches: Iterable[pa.RecordBatch],
        trace_ids: int = 0,
        number: int = 0,
    ) -> AddAction | None:
        """Write one file; None when there is no row. Blocks until it is durable.

        Args:
            partition: Value of each column that the table is partitioned by.
            batches: In the order of `schema`; columns beside it are left out.
            trace_ids: Distinct ones, about; 0 is none.
            number: Of files of one commit: their names sort by it.
        """
        folder = "/".join(f"{column}={value}" for column, value in partition.items())
        path = f"{folder}/part-{number:05d}-{uuid.uuid4()}-c000.zstd.parquet"
        with self._made(path) as file:
            rows = self._write(file, batches, trace_ids)
            if not rows:
                file.truncate(0)
                return None
            footer = pq.read_metadata(file)
            if footer.num_rows != rows:
                raise OSError(f'"{path}" has {footer.num_rows} rows of {rows}')
            size, stats = os.fstat(file.fileno()).st_size, _statistics(footer, statistics_columns(self._name))
        return AddAction(path, size, dict(partition), int(time.time() * 1000), True, json.dumps(stats))

    def write_days(self, rows: pa.Table, trace_ids: int = 0) -> list[AddAction]:
        """A file for each day that `rows` have, of a table that is partitioned by days alone; none when one fails."""
        made: list[AddAction | None] = []
        try:
            for day in rows.column("day").unique():
                of_day = rows.filter(pc.equal(rows.column("day"), day))
                made.append(self.write({"day": str(day)}, of_day.to_batches(), trace_ids, len(made)))
        except BaseException:
            self.delete(file for file in made if file is not None)
            raise
        return [file for file in made if file is not None]

    def _write(self, file: IO[bytes], batches: Iterable[pa.RecordBatch], trace_ids: int) -> int:
        rows, options = 0, parquet_options(self._name, self.schema.names, trace_ids, self._layout)
        with pq.ParquetWriter(file, self.schema, **options) as writer:
            for group in self._groups(batches):
                writer.write_table(group, self._layout.group_rows)
                rows += group.num_rows
        file.flush()
        os.fsync(file.fileno())
        return rows

    def _groups(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
        """As row groups: the writer makes one of whatever it is given."""
        held: list[pa.RecordBatch] = []
        rows = size = 0
        for batch in batches:
            columns = [_column(batch, field) for field in self.schema]
            batch = pa.RecordBatch.from_arrays(columns, schema=self.schema)
            if held and (rows + len(batch) > self._layout.group_rows or size + batch.nbytes > GROUP_BYTES):
                yield pa.Table.from_batches(held, self.schema).unify_dictionaries()
                held, rows, size = [], 0, 0
            held, rows, size = [*held, batch], rows + len(batch), size + batch.nbytes
        if held:
            yield pa.Table.from_batches(held, self.schema).unify_dictionaries()

    @contextlib.contextmanager
    def _made(self, path: str) -> Iterator[IO[bytes]]:
        """What to write to; it is durable at `path` of the table at the end, unless it is empty then."""
        if self._folder is not None:
            local = self._folder / path
            local.parent.mkdir(parents=True, exist_ok=True)
            try:
                with local.open("w+b") as file:
                    yield file
                    empty = not os.fstat(file.fileno()).st_size
            except BaseException:
                local.unlink(missing_ok=True)
                raise
            if empty:
                local.unlink()
            sync_folder(local.parent)
            return
        if self._scratch is not None:
            self._scratch.mkdir(parents=True, exist_ok=True)
        # Without a name: it is gone with the process, however that ends.
        with tempfile.TemporaryFile(dir=self._scratch) as file:
            yield file
            if os.fstat(file.fileno()).st_size:
                self._send(file, path)

    def _send(self, file: IO[bytes], path: str) -> None:
        assert self._bucket is not None
        file.seek(0)
        # Blocks smaller than the buffer: the handler's stream takes bytes, and of a larger block it would get a view.
        with self._bucket.open_output_stream(path, buffer_size=SENT_BYTES) as stream:
            while block := file.read(SENT_BYTES // 8):
                stream.write(block)

    def delete(self, actions: Iterable[AddAction]) -> None:
        """Delete files that are in no version, as many as can be. After a commit whose answer was lost, vacuum."""
        for action in actions:
            with contextlib.suppress(OSError):
                if self._folder is not None:
                    (self._folder / action.path).unlink(missing_ok=True)
                elif self._bucket is not None:
                    self._bucket.delete_file(action.path)


def rows_of(actions: Iterable[AddAction]) -> int:
    return sum(int(json.loads(action.stats)["numRecords"]) for action in actions)


def _column(rows: pa.RecordBatch, field: pa.Field[Any]) -> pa.Array[Any]:
    if field.name in RESERVED_NAMES and field.name not in rows.schema.names:
        return nulls(rows.num_rows, field.type)
    return _as(rows.column(field.name), field.type)


def _as(column: pa.Array[Any], dtype: pa.DataType) -> pa.Array[Any]:
    if column.type == dtype:
        return column
    return column.cast(pa.string()).dictionary_encode() if dtype == _DICTIONARY else column.cast(dtype)


def _statistics(footer: pq.FileMetaData, columns: Iterable[str]) -> dict[str, Any]:
    """What the log says of a file. Source: "Per-file Statistics" of the Delta protocol."""
    told: dict[str, Any] = {"numRecords": footer.num_rows, "minValues": {}, "maxValues": {}, "nullCount": {}}
    places = {footer.schema.column(place).path: place for place in range(footer.num_columns)}
    for name in columns:
        if name not in places:
            continue
        groups: list[Any] = [
            footer.row_group(group).column(places[name]).statistics for group in range(footer.num_row_groups)
        ]
        if any(group is None or not group.has_null_count for group in groups):
            continue
        told["nullCount"][name] = sum(group.null_count for group in groups)
        valued = [group for group in groups if group.num_values]
        if not valued or not all(group.has_min_max for group in valued):
            continue
        bounds = min(group.min for group in valued), max(group.max for group in valued)
        if not any(isinstance(bound, str) and len(bound) > LONGEST_BOUND for bound in bounds):
            told["minValues"][name], told["maxValues"][name] = map(_plain, bounds)
    return told


def _plain(bound: Any) -> Any:
    if isinstance(bound, dt.datetime):
        return bound.astimezone(dt.UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    return bound
