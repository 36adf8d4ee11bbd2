"""Compaction: one arrival day of a table in many small files -> few large files, sorted, in one commit.

A closed day is rewritten once: `compact_closed` notes "compacted:<day>" = number of rows in the same commit, and later
calls do nothing until that number changes. Readers see the day as it was before or after the commit, never a mixture.
Repeated ids are counted, never dropped.
"""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, wait
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.transaction import AddAction

from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from lakehouse.delta.files import Files, rows_of
from lakehouse.delta.races import retried
from lakehouse.delta.table import Delta, translated
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.compaction.repeated_ids import Seen
from lakehouse.upkeep.compaction.sort import THREADS, Day, workers
from lakehouse.upkeep.scratch import scratch, sweep

FILE_BYTES = 256 << 20
LEAST_RANGES = 4  # a day with fewer ranges is written to one file

DEALT = failpoint(
    "compaction.dealt", "the rows of the day are in files of the data folder, no file of the table is written"
)
WRITTEN = failpoint("compaction.written", "the sorted files of the day are written, no version of the table has them")
COMMITTED = failpoint("compaction.committed", "the newest version has the sorted files in place of the old ones")
OPEN_COMMITTED = failpoint("compaction.open", "the open day's small files are merged")

_POSITION = ("timestamp", "bus_partition", "bus_offset", "bus_index")


@dataclass(frozen=True, slots=True)
class Compaction:
    """Result of a compaction.

    Attributes:
        rows: Rows of the day; a compaction does not change this number.
        bytes_before, bytes_after: Size of the Parquet files.
        version: Version of the table after the compaction.
        repeated: Rows beyond the first of each id; 0 in a sound table.
        uncounted: Rows whose ids were not compared, as the day has more streams than `compaction_runs` allows.
        repeated_positions: Rows with the same bus position as the row before them in the sorted order.
        done: False if the day needed no compaction; then repeated rows were not counted either.
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
    uncounted: int = 0
    done: bool = True


def compact_open(care: Care, name: str, day: dt.date) -> Compaction:
    """Merge the small files of a day that still receives rows. Does not block appends. Idempotent.

    Raises:
        StoreError: Nothing changed; the same call may be repeated.
    """
    _tidy(care)
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
        StoreError: The day is not closed, other processes changed it during every attempt, or the table cannot be read
            or written. Nothing changed; the same call may be repeated.
    """
    if day >= care.today():
        raise StoreError(f"{day} is not closed yet", hint="compact the open day with compact_open")
    _tidy(care)
    began_s, table, note = time.monotonic(), care.table(name), f"compacted:{day.isoformat()}"

    def rewritten() -> Compaction:
        before = _held(table, day)
        if not before.rows or table.noted(note) == before.rows:
            return _outcome(table, before, before, began_s, done=False)
        seen, positions = _rewrite(care, table, day, before.rows, note)
        reach(COMMITTED)
        table.refresh()
        return _outcome(table, before, _held(table, day), began_s, seen, positions)

    return retried(table, rewritten)


def _tidy(care: Care) -> None:
    with translated(f'leftovers of a killed compaction in "{care.settings.data}" cannot be removed'):
        sweep(care.settings.data)


@dataclass(frozen=True, slots=True)
class _Held:
    rows: int
    files: int
    bytes: int


def _held(table: Delta, day: dt.date) -> _Held:
    files = [file for file in table.files() if file["partition.day"] == day]
    return _Held(sum(f["num_records"] for f in files), len(files), sum(f["size_bytes"] for f in files))


def _outcome(
    table: Delta,
    before: _Held,
    after: _Held,
    began_s: float,
    seen: Seen | None = None,
    positions: int = 0,
    done: bool = True,
) -> Compaction:
    took_s = time.monotonic() - began_s
    sizes = (after.rows, before.files, after.files, before.bytes, after.bytes)
    repeated, uncounted = (seen.repeated, seen.uncounted) if seen else (0, 0)
    return Compaction(*sizes, table.version, took_s, repeated, positions, uncounted, done)


def _rewrite(care: Care, table: Delta, day: dt.date, rows: int, note: str) -> tuple[Seen, int]:
    """Rewrite the day in one commit; return the repeated ids and the number of repeated bus positions."""
    held, positions = [file for file in table.files() if file["partition.day"] == day], Positions()
    with translated(f"{day} of {table.what} cannot be sorted"), scratch(care.settings.data, "compaction") as folder:
        files = table.new_files(folder)
        source = Day(files, [file["path"] for file in held], care.settings.compaction_runs)
        dealt = source.deal(folder)
        reach(DEALT)
        parts = _parts(dealt.count, sum(file["size_bytes"] for file in held))
        written = _written(
            files,
            [
                partial(_write, files, day, dealt.sorted(*part), positions, source.seen, number)
                for number, part in enumerate(parts)
            ],
        )
    if rows_of(written) != rows:
        files.delete(written)
        raise StoreError(f"the day has {rows} rows, but {rows_of(written)} were read: nothing was changed")
    reach(WRITTEN)
    table.replace(day, written, {note: rows})
    return source.seen, positions.repeated


def _written(files: Files, jobs: Sequence[Callable[[], list[AddAction]]]) -> list[AddAction]:
    """Run the jobs and return their files. If a job fails, no further job starts and all files are deleted."""
    with workers() as threads:
        running = [threads.submit(job) for job in jobs]
        try:
            wait(running, return_when=FIRST_EXCEPTION)
            return [made for job in running for made in job.result()]
        except BaseException:
            threads.shutdown(cancel_futures=True)
            whole = [job for job in running if not job.cancelled() and job.exception() is None]
            files.delete(made for job in whole for made in job.result())
            raise


def _parts(ranges: int, size: int) -> list[tuple[int, int]]:
    """First and end range of each file: at least one file per thread for large days, no file above `FILE_BYTES`."""
    count = 1 if ranges < LEAST_RANGES else max(THREADS, -(-size // FILE_BYTES))
    cuts = [ranges * part // count for part in range(count + 1)]
    return list(pairwise(cuts))


def _write(
    files: Files, day: dt.date, rows: Iterator[pa.RecordBatch], positions: Positions, seen: Seen, number: int
) -> list[AddAction]:
    made = files.write({"day": day.isoformat()}, positions.passing(rows), seen.trace_ids, number)
    return [] if made is None else [made]


class Positions:
    """Counts rows with the same bus position as the row before them. Thread-safe."""

    def __init__(self) -> None:
        self.repeated = 0
        self._lock = threading.Lock()

    def passing(self, rows: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in rows:
            found = _repeated_positions(batch)
            with self._lock:
                self.repeated += found
            yield batch


def _repeated_positions(batch: pa.RecordBatch) -> int:
    columns = [batch.column(name) for name in _POSITION if name in batch.schema.names]
    if len(columns) < len(_POSITION) or len(batch) < 2:
        return 0
    same = pc.equal(columns[0][1:], columns[0][:-1])
    for column in columns[1:]:
        same = pc.and_(same, pc.equal(column[1:], column[:-1]))
    return int(pc.sum(same.cast(pa.int64())).as_py() or 0)
