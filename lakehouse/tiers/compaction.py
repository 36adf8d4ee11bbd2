"""Compaction: one arrival day of a table in many small files -> few large ones, sorted, in one commit.

A closed day is rewritten once: `compact_closed` notes "compacted:<day>" = its rows in the same commit and does nothing
until rows come or go. Readers see the day before or after, never between. Repeated ids are counted, never dropped.
"""

from __future__ import annotations

import datetime as dt
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import CommitFailedError

from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from lakehouse.delta import Delta, translated
from lakehouse.lake_memory import give_back
from lakehouse.tiers.care import Care
from lakehouse.tiers.ordering import Day

ATTEMPTS = 8
FILE_BYTES = 256 << 20
BATCH_ROWS = 8192  # handed to the writer at once: it copies what it is given
AHEAD = 1  # sorted ranges that wait for the writer

WRITTEN = failpoint("compaction.written", "the sorted files of the day are being written, no version has them")
COMMITTED = failpoint("compaction.committed", "the newest version has the sorted files in place of the old ones")
OPEN_COMMITTED = failpoint("compaction.open", "the open day's small files are merged")

_ID = ("tenant", "producer", "epoch", "stream", "sequence")
_POSITION = ("timestamp", "bus_partition", "bus_offset", "bus_index")
_END = object()


@dataclass(frozen=True, slots=True)
class Compaction:
    """What a compaction did.

    Attributes:
        rows: Of the day, before and after.
        bytes_before, bytes_after: Parquet.
        version: Of the table that has the day as it is now.
        repeated: Rows whose id another row of the day has, too. There should be none.
        repeated_positions: Rows that stand at the same bus position as their neighbour in the order.
        done: False when there was nothing to do; then nothing was counted either.
    """

    rows: int
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    version: int
    took_s: float
    repeated: int = 0
    repeated_positions: int = 0
    done: bool = True


def compact_open(care: Care, name: str, day: dt.date) -> Compaction:
    """Merge the small files of a day that still receives rows; never in the way of appends. Idempotent.

    Raises:
        StoreError: Nothing changed; the same call may be repeated.
    """
    began_s, table = time.monotonic(), care.table(name)
    before = _held(table, day)
    if before.files < 2:
        return _outcome(table, before, before, began_s, done=False)
    table.compact([day.isoformat()])
    reach(OPEN_COMMITTED)
    return _outcome(table, before, _held(table, day), began_s)


def compact_closed(care: Care, name: str, day: dt.date) -> Compaction:
    """Rewrite a closed day, sorted by (tenant, service, timestamp), equal keys in bus order. Idempotent.

    Raises:
        StoreError: The day is not closed, others changed it all the time, or it cannot be read or written. Nothing
            changed; the same call may be repeated.
    """
    if day >= care.today():
        raise StoreError(f"{day} is not closed yet", hint="compact the open day with compact_open")
    give_back()
    began_s, table, note = time.monotonic(), care.table(name), f"compacted:{day.isoformat()}"
    for attempt in range(ATTEMPTS):
        before = _held(table, day)
        if not before.rows or table.noted(note) == before.rows:
            return _outcome(table, before, before, began_s, done=False)
        try:
            repeated, positions = _rewrite(table, day, before.rows, note)
            reach(COMMITTED)
            table.refresh()
            return _outcome(table, before, _held(table, day), began_s, repeated, positions)
        except CommitFailedError:
            time.sleep(min(0.05 * 2**attempt, 1.0))
            table.reopen()
    raise StoreError(
        f'{day} of lake table "{name}" was changed by others {ATTEMPTS} times in a row',
        hint="the same call may be repeated",
        retry_after_s=5,
    )


@dataclass(frozen=True, slots=True)
class _Held:
    rows: int
    files: int
    bytes: int


def _held(table: Delta, day: dt.date) -> _Held:
    files = [file for file in table.files() if file["partition.day"] == day]
    return _Held(sum(f["num_records"] for f in files), len(files), sum(f["size_bytes"] for f in files))


def _outcome(
    table: Delta, before: _Held, after: _Held, began_s: float, repeated: int = 0, positions: int = 0, done: bool = True
) -> Compaction:
    took_s = time.monotonic() - began_s
    sizes = (after.rows, before.files, after.files, before.bytes, after.bytes)
    return Compaction(*sizes, table.version, took_s, repeated, positions, done)


def _rewrite(table: Delta, day: dt.date, rows: int, note: str) -> tuple[int, int]:
    """One commit; repeated ids and repeated bus positions."""
    with translated(f'{day} of lake table "{table.name}" cannot be read'):
        source = Day(table, day)
        repeated = _repeated(source, table)
        traces = _traces(source, table)
    stream = _Stream(source, rows)
    try:
        reader = pa.RecordBatchReader.from_batches(stream.schema, stream.batches())
        table.replace(f"day = DATE '{day.isoformat()}'", reader, {note: rows}, traces, FILE_BYTES)
    except Exception as error:  # the library passes on what a stream raises as one of no type
        if stream.failure is None:
            raise
        raise stream.failure from error
    finally:
        stream.stop()
    return repeated, stream.repeated_positions


def _repeated(source: Day, table: Delta) -> int:
    """Rows beyond the first of each id: 32 numbers share a group, a bit each, as in `lakehouse.tiers.repeats`."""
    if not set(_ID) <= set(table.schema.names):
        return 0
    bit = "CAST(1 AS BIGINT) << sequence % 32"
    blocks = (
        f"SELECT count(*) AS n, bit_or({bit}) AS bits, sum({bit}) AS total FROM {table.name}"
        f" WHERE {source.where} GROUP BY {', '.join(_ID[:-1])}, sequence / 32"
    )
    found = source.ask(f"SELECT n, bits FROM ({blocks}) AS blocks WHERE total <> bits")
    return sum(row["n"] - row["bits"].bit_count() for row in found)


def _traces(source: Day, table: Delta) -> int:
    """About how many trace ids the day has; 0 when it has none worth a filter."""
    if "trace_id" not in table.schema.names:
        return 0
    ids = source.ask(f"SELECT approx_distinct(trace_id) AS n FROM {table.name} WHERE {source.where}")[0]["n"]
    return int(ids) if ids > 1 else 0


class _Stream:
    """Sorted batches, made on a thread of their own: the writer's may not ask the engine, which made it."""

    def __init__(self, source: Day, rows: int) -> None:
        self.repeated_positions = 0
        self.failure: StoreError | None = None
        self._source, self._expected = source, rows
        self._queue: queue.Queue[Any] = queue.Queue(AHEAD)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._make, daemon=True)
        self._thread.start()
        self._first = self._queue.get()
        if not isinstance(self._first, pa.RecordBatch):
            raise self._first if isinstance(self._first, StoreError) else _short(rows, 0)
        self.schema: pa.Schema = self._first.schema

    def _make(self) -> None:
        try:
            with translated("a day cannot be sorted"):
                for batch in self._source.sorted():
                    if not self._put(batch):
                        return
            self._put(_END)
        except StoreError as error:
            self._put(error)
        except BaseException as error:  # handed to the writer, who waits for it
            self._put(StoreError(f"a day cannot be sorted: {error}"))

    def _put(self, item: object) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The batches; raises, which ends the writing before its commit, unless all rows came."""
        item, seen = self._first, 0
        while isinstance(item, pa.RecordBatch):
            seen += len(item)
            self.repeated_positions += _repeated_positions(item)
            for first in range(0, len(item), BATCH_ROWS):
                yield item.slice(first, BATCH_ROWS)
            item = self._queue.get()
        if isinstance(item, StoreError):
            self.failure = item
        elif seen != self._expected:
            self.failure = _short(self._expected, seen)
        if self.failure is not None:
            raise ValueError(str(self.failure))
        reach(WRITTEN)

    def stop(self) -> None:
        """Idempotent."""
        self._stopped.set()
        while not self._queue.empty():
            self._queue.get_nowait()
        self._thread.join()


def _short(expected: int, seen: int) -> StoreError:
    return StoreError(f"the day has {expected} rows and {seen} were read: nothing was changed")


def _repeated_positions(batch: pa.RecordBatch) -> int:
    columns = [batch.column(name) for name in _POSITION if name in batch.schema.names]
    if len(columns) < len(_POSITION) or len(batch) < 2:
        return 0
    same = pc.equal(columns[0][1:], columns[0][:-1])
    for column in columns[1:]:
        same = pc.and_(same, pc.equal(column[1:], column[:-1]))
    return int(pc.sum(same.cast(pa.int64())).as_py() or 0)
