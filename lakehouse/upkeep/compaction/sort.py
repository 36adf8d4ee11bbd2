"""Sort: one day of a table in any order -> its rows sorted by (tenant, service, timestamp), in bounded memory.

The day is read once and dealt out to files; each file holds one range of the sort order with about `RANGE_ROWS` rows.
Then each range is sorted alone. An external merge sort would cost twice as much. Two threads share the work, as Arrow
and the compression release Python's lock. Not handled: millions of rows of one service with the same microsecond make
one large range.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from contracts.open_files import allow_many_files
from lakehouse.delta.files import Files
from lakehouse.delta.schemas import SORTED_BY, sort_key
from lakehouse.upkeep.compaction.range_files import RangeFiles, file_of, most_open, read
from lakehouse.upkeep.compaction.repeated_ids import RUNS, Seen

THREADS = 2
NICE = 5  # a thread of a query gets three times the CPU share of a thread here
RANGE_ROWS = 65_536
DEALT_ROWS = 65_536  # rows of one batch that is dealt out
HELD_BYTES = 48 << 20  # limit of a range and of a batch with long rows
SAMPLED_ROWS = 1_000_000  # size of the sample that divides the day evenly
WITHIN_EQUALS = ("bus_partition", "bus_offset", "bus_index")

_LAST = np.iinfo(np.int64).max

_Longs = npt.NDArray[np.int64]


def workers() -> ThreadPoolExecutor:
    """Threads with a lower CPU priority than those of queries, where the system supports that (Linux)."""
    return ThreadPoolExecutor(THREADS, "headwater-upkeep", _give_way)


def _give_way() -> None:
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            thread = threading.get_native_id()
            os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + NICE))


@dataclass(frozen=True, slots=True)
class _Piece:
    """A row group."""

    path: str
    group: int
    rows: int
    footer: pq.FileMetaData


class Day:
    """The rows of some files of a table.

    Args:
        most_runs: Most runs of record ids that are compared; see `Seen`.

    Attributes:
        rows: Number of rows, from the footers.
        seen: Repeated ids and trace ids; complete after `deal`.
    """

    def __init__(self, files: Files, paths: Sequence[str], most_runs: int = RUNS) -> None:
        self._files, self._most_runs = files, most_runs
        self._keys = [name for name in SORTED_BY[:2] if name in files.schema.names]
        self._timed = SORTED_BY[2] in files.schema.names
        self._pieces: list[_Piece] = []
        for path in paths:
            with files.open(path) as file:
                footer = file.metadata
            groups = [group for group in range(footer.num_row_groups) if footer.row_group(group).num_rows]
            self._pieces += [_Piece(path, group, footer.row_group(group).num_rows, footer) for group in groups]
        self.rows = sum(piece.rows for piece in self._pieces)
        held = sum(piece.footer.row_group(piece.group).total_byte_size for piece in self._pieces)
        self._most = max(1, HELD_BYTES * self.rows // max(held, 1))  # rows at once, by their average size
        self.seen = Seen(most_runs)

    def deal(self, folder: Path) -> Dealt:
        """Read the day and write its rows to the range files in `folder`."""
        ranges = self._ranges()
        waiting: queue.SimpleQueue[_Piece] = queue.SimpleQueue()
        for piece in self._pieces:
            waiting.put(piece)
        most = most_open(allow_many_files(), THREADS)
        files = [RangeFiles(folder, worker, most) for worker in range(THREADS)]
        with workers() as threads:
            for seen in threads.map(lambda dealt: self._work(waiting, ranges, dealt), files):
                self.seen.add(seen)
        return Dealt(folder, ranges.count, self._keys)

    def _ranges(self) -> Ranges:
        names = [*self._keys, *SORTED_BY[2:3]] if self._timed else self._keys
        step = max(1, self.rows // SAMPLED_ROWS)

        def sampled(piece: _Piece) -> pa.Table:
            with self._files.open(piece.path, piece.footer) as file:
                read = file.read_row_group(piece.group, names, use_threads=False)
            rows = pa.Table.from_batches([self._files.fitting(batch) for batch in read.to_batches()])
            return rows.take(np.arange(0, rows.num_rows, step)) if step > 1 else rows

        with workers() as threads:
            sample = pa.concat_tables(threads.map(sampled, self._pieces)).unify_dictionaries().combine_chunks()
        return Ranges(sample, self._keys, -(-self.rows // min(RANGE_ROWS, self._most)))

    def _work(self, waiting: queue.SimpleQueue[_Piece], ranges: Ranges, dealt: RangeFiles) -> Seen:
        seen = Seen(self._most_runs)
        with contextlib.closing(dealt):
            while (piece := _next(waiting)) is not None:
                with self._files.open(piece.path, piece.footer) as file:
                    rows = min(DEALT_ROWS, self._most)
                    for batch in file.iter_batches(rows, row_groups=[piece.group], use_threads=False):
                        fit = self._files.fitting(batch)
                        seen.see(fit)
                        for number, part in ranges.divided(fit.select(self._files.schema.names)):
                            dealt.write(number, part)
        return seen


def _next(waiting: queue.SimpleQueue[_Piece]) -> _Piece | None:
    try:
        return waiting.get_nowait()
    except queue.Empty:
        return None


class Ranges:
    """Disjoint ranges of the sort order: about `wanted`, of about equal size by a sample of the keys."""

    def __init__(self, sample: pa.Table, keys: Sequence[str], wanted: int) -> None:
        self._keys = keys
        self._places = [_places(sample.column(key)) for key in keys]
        groups, times = self._of(sample)
        order = np.lexsort((times, groups))
        at = order[[len(order) * part // wanted for part in range(1, wanted)]] if len(order) else order
        pairs = sorted(set(zip(groups[at].tolist(), times[at].tolist(), strict=True)))
        self._groups: _Longs = np.array([group for group, _ in pairs], np.int64)
        self._times: _Longs = np.array([time for _, time in pairs], np.int64)
        self.count = len(pairs) + 1

    def _of(self, rows: pa.Table | pa.RecordBatch) -> tuple[_Longs, _Longs]:
        """For each row the rank of its keys, and its time. NULL is last, as in Arrow's sort."""
        groups: _Longs = np.zeros(rows.num_rows, np.int64)
        for key, places in zip(self._keys, self._places, strict=True):
            groups = groups * (len(places) + 1) + _ranks(rows.column(key), places)
        if SORTED_BY[2] not in rows.schema.names:
            return groups, np.zeros(rows.num_rows, np.int64)
        return groups, np.asarray(_flat(rows.column(SORTED_BY[2])).cast(pa.int64()).fill_null(_LAST))

    def divided(self, rows: pa.RecordBatch) -> Iterator[tuple[int, pa.RecordBatch]]:
        """The rows of each range, without empty ranges."""
        groups, times = self._of(rows)
        numbers = np.searchsorted(self._groups, groups, "left")
        for group in np.intersect1d(self._groups, groups):
            here = groups == group
            low, high = np.searchsorted(self._groups, [group, group + 1], "left")
            numbers[here] = low + np.searchsorted(self._times[low:high], times[here], "right")
        dealt, first = rows.take(np.argsort(numbers, kind="stable")), 0
        counts = np.bincount(numbers, minlength=self.count)
        for number in np.flatnonzero(counts).tolist():
            yield number, dealt.slice(first, int(counts[number]))
            first += int(counts[number])


def _flat(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _places(column: pa.ChunkedArray[Any]) -> Mapping[str, int]:
    """Rank of each value. Text sorts by code point in Python as its bytes do in Arrow."""
    values = sorted(value for value in _flat(column).dictionary.to_pylist() if value is not None)
    return {value: place for place, value in enumerate(values)}


def _ranks(column: pa.Array[Any] | pa.ChunkedArray[Any], places: Mapping[str, int]) -> _Longs:
    flat = _flat(column)
    ranks: _Longs = np.array([*(places[value] for value in flat.dictionary.to_pylist()), len(places)], np.int64)
    found: _Longs = ranks[np.asarray(flat.indices.fill_null(len(ranks) - 1))]
    return found


@dataclass(frozen=True)
class Dealt:
    """The range files in a folder; `sorted` deletes each file after it was read."""

    folder: Path
    count: int
    keys: Sequence[str] = field(default_factory=list)

    def sorted(self, first: int, end: int) -> Iterator[pa.RecordBatch]:
        """The rows of the ranges from `first` to before `end`, in order, equal keys in bus order."""
        for number in range(first, end):
            paths = [path for worker in range(THREADS) if (path := file_of(self.folder, number, worker)).exists()]
            if paths:
                yield from _sorted(paths, self.keys)
            for path in paths:
                path.unlink()


def _sorted(paths: Sequence[Path], keys: Sequence[str]) -> Sequence[pa.RecordBatch]:
    tables = [table for path in paths for table in read(path)]
    rows = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    del tables
    names = [*keys, *(name for name in (SORTED_BY[2], *WITHIN_EQUALS) if name in rows.column_names)]
    by = {name: sort_key(rows.column(name)) for name in names}
    varying = [name for name, column in by.items() if not _constant(column)]
    if varying:
        table = pa.table({name: by[name] for name in varying})
        rows = rows.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in varying]))
    return rows.combine_chunks().to_batches()


def _constant(column: pa.Array[Any]) -> bool:
    bounds = pc.min_max(column)
    return bool(bounds["min"] == bounds["max"]) and not column.null_count
