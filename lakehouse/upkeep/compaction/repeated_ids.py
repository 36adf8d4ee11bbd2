"""Repeated ids: batches of a day, in any order -> number of rows that repeat an id, estimated number of trace ids.

The sequence numbers of a stream are nearly dense, so a few runs of numbers describe them. The rows of a run minus the
numbers that it spans are the repeated rows. A run takes 32 bytes: a 64-bit hash of tenant, producer, epoch and stream,
its first number, the number after its last, and its rows. A request without a sequence is a run of its own.

Memory is bounded: above the limit of runs, half of all streams are left out by a bit of their hash, as often as needed.
The remaining streams are counted exactly; the rows of the others are reported as uncounted.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

RUNS = 2_000_000  # 64 MiB, and as much again while they are merged
_STREAM = ("tenant", "producer", "stream")
_ID = {*_STREAM, "epoch", "sequence"}
_MANY_RUNS = 65_536  # runs that wait before they are merged with the others
_RANGES = 16  # ranges of hashes, merged one after the other, as a merge needs several times their size

_Longs = npt.NDArray[np.int64]
_Hashes = npt.NDArray[np.uint64]
_Runs = tuple[_Hashes, _Longs, _Longs, _Longs]  # stream, first number, number after the last, rows

_NONE: _Runs = (np.zeros(0, np.uint64), *(np.zeros(0, np.int64) for _ in range(3)))  # type: ignore[assignment]


class Seen:
    """Not thread-safe.

    Args:
        most_runs: Most runs in memory after a merge; half as many again may wait for the merge.

    Attributes:
        trace_ids: Sum of the distinct trace ids of each batch.
        uncounted: Rows whose ids are not compared with others.
    """

    def __init__(self, most_runs: int = RUNS) -> None:
        self.trace_ids = self.uncounted = 0
        self._most = most_runs
        self._bits = 0  # number of low bits that are 0 in the hash of a counted stream
        self._runs = _NONE  # sorted, without overlap
        self._waiting: list[_Runs] = []
        self._waiting_count = 0
        self._repeated = 0  # repeated rows of streams that were left out later

    def see(self, batch: pa.RecordBatch) -> None:
        """Count the rows of `batch`. Text columns with few values must be dictionary-encoded."""
        if "trace_id" in batch.schema.names:
            self.trace_ids += _trace_ids(batch.column("trace_id"))
        if set(batch.schema.names) >= _ID and len(batch):
            self._put(_runs_of(batch))

    def _put(self, runs: _Runs) -> None:
        counted = self._counted(runs)
        self._waiting.append(counted)
        self._waiting_count += len(counted[0])
        if self._waiting_count > max(_MANY_RUNS, len(self._runs[0]) // 2):
            self._merge()

    def _counted(self, runs: _Runs) -> _Runs:
        """The runs of counted streams; the rows of the others are added to `uncounted`."""
        if not self._bits:
            return runs
        is_counted = (runs[0] & np.uint64((1 << self._bits) - 1)) == 0
        self.uncounted += int(runs[3][~is_counted].sum())
        streams, starts, ends, rows = (column[is_counted] for column in runs)
        return streams, starts, ends, rows

    def _merge(self) -> None:
        self._runs = _merged([self._runs, *self._waiting])
        self._waiting, self._waiting_count = [], 0
        while len(self._runs[0]) > self._most:
            self._bits += 1
            before = _repeated(self._runs)
            self._runs = self._counted(self._runs)
            self._repeated += before - _repeated(self._runs)

    def add(self, other: Seen) -> None:
        self.trace_ids += other.trace_ids
        self.uncounted += other.uncounted
        self._repeated += other._repeated
        self._bits = max(self._bits, other._bits)
        before = [self._runs, *self._waiting, other._runs, *other._waiting]
        self._runs, self._waiting, self._waiting_count = _NONE, [], 0
        for runs in before:
            self._put(runs)
        self._merge()

    @property
    def repeated(self) -> int:
        """Counted rows beyond the first of each id."""
        self._merge()
        return self._repeated + _repeated(self._runs)


def _repeated(runs: _Runs) -> int:
    _, starts, ends, rows = runs
    return int(rows.sum() - (ends - starts).sum())


def _runs_of(batch: pa.RecordBatch) -> _Runs:
    streams: _Hashes = np.zeros(len(batch), np.uint64)
    for name in _STREAM:
        streams = _mixed(streams) + _hashes(batch.column(name))
    numbers: list[Any] = [batch.column(name).fill_null(-1) for name in ("epoch", "sequence")]
    epochs, sequences = map(np.asarray, numbers)
    streams = _mixed(_mixed(streams) + epochs.astype(np.int64).view(np.uint64))
    order = np.lexsort((sequences, streams))
    streams, sequences = streams[order], sequences[order].astype(np.int64)
    cut = (streams[1:] != streams[:-1]) | (sequences[1:] - sequences[:-1] > 1)
    firsts = np.concatenate(([0], np.flatnonzero(cut) + 1))
    ends = np.concatenate((firsts[1:], [len(order)]))
    return streams[firsts], sequences[firsts], sequences[ends - 1] + 1, ends - firsts


def _hashes(column: Any) -> _Hashes:
    """Hash of the text in each row; each distinct text is hashed once."""
    texts = column.dictionary
    places = np.asarray(column.indices.fill_null(len(texts)))
    of: _Hashes = np.zeros(len(texts) + 1, np.uint64)
    for place in np.unique(places).tolist():
        text = texts[place].as_py() if place < len(texts) else None
        content = b"" if text is None else b"=" + text.encode()
        of[place] = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
    found: _Hashes = of[places]
    return found


def _mixed(values: _Hashes) -> _Hashes:
    """Mix the bits, so that each output bit depends on all input bits. Source: the finaliser of SplitMix64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _merged(parts: list[_Runs]) -> _Runs:
    """Merge the runs, sorted by stream and number; runs that meet become one. One range of hashes at a time."""
    parts = [part for part in parts if len(part[0])]
    if not parts:
        return _NONE
    count = _RANGES if sum(len(part[0]) for part in parts) > _MANY_RUNS else 1
    made, width = list[_Runs](), (1 << 64) // count
    for low in range(count):
        first, last = np.uint64(low * width), np.uint64((low + 1) * width - 1)
        here = [tuple(column[(part[0] >= first) & (part[0] <= last)] for column in part) for part in parts]
        made.append(_united(*(np.concatenate(columns) for columns in zip(*here, strict=True))))
    return tuple(np.concatenate(columns) for columns in zip(*made, strict=True))  # type: ignore[return-value]


def _united(streams: Any, starts: Any, ends: Any, rows: Any) -> _Runs:
    if not len(streams):
        return _NONE
    order = np.lexsort((starts, streams))
    streams, starts, ends, rows = streams[order], starts[order], ends[order], rows[order]
    # The furthest end so far within each stream. Numbers are replaced by ranks, larger in each later stream.
    numbers = np.unique(np.concatenate((starts, ends)))
    groups = np.concatenate(([0], np.cumsum(streams[1:] != streams[:-1]))) * len(numbers)
    furthest = np.maximum.accumulate(groups + np.searchsorted(numbers, ends))
    begins = np.concatenate(([True], groups[1:] + np.searchsorted(numbers, starts[1:]) > furthest[:-1]))
    firsts = np.flatnonzero(begins)
    lasts = np.concatenate((firsts[1:], [len(streams)])) - 1
    ends = numbers[furthest[lasts] - groups[lasts]]
    return streams[firsts], starts[firsts], ends, np.add.reduceat(rows, firsts)


def _trace_ids(column: Any) -> int:
    if not pc.sum(pc.binary_length(column)).as_py():
        return 0
    found = int(pc.count_distinct(column).as_py())
    return found if found > 1 else 0
