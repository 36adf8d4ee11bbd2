"""Seen: batches of a day, in any order -> how many rows repeat an id, and about how many trace ids there are.

The sequences of a stream are nearly dense, so what was seen is a few runs of numbers: the rows of a stream less the
numbers of its runs are the repeated ones. A stream of numbers that are far apart costs 16 bytes a row.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

_STREAM = ("tenant", "producer", "stream")
_ID = {*_STREAM, "epoch", "sequence"}
_MANY_RUNS = 4096  # of one stream, before they are merged

_Longs = npt.NDArray[np.int64]
_Key = tuple[Any, ...]


class Seen:
    """Not thread-safe.

    Attributes:
        trace_ids: Those of each batch, added up.
    """

    def __init__(self) -> None:
        self.trace_ids = 0
        self._rows = 0
        self._runs: dict[_Key, list[tuple[int, int]]] = defaultdict(list)  # first number, and the one past the last
        self._limits: dict[_Key, int] = {}

    def see(self, batch: pa.RecordBatch) -> None:
        """Text with few values comes dictionary-encoded."""
        if "trace_id" in batch.schema.names:
            self.trace_ids += _trace_ids(batch.column("trace_id"))
        if set(batch.schema.names) >= _ID and len(batch):
            self._rows += len(batch)
            self._see_ids(batch)

    def _see_ids(self, batch: pa.RecordBatch) -> None:
        streams: _Longs = np.zeros(len(batch), np.int64)
        for name in _STREAM:
            column: Any = batch.column(name)
            size = len(column.dictionary) + 1
            streams = streams * size + np.asarray(column.indices.fill_null(size - 1))
        numbers: list[Any] = [batch.column(name).fill_null(-1) for name in ("epoch", "sequence")]
        epochs, sequences = map(np.asarray, numbers)
        order = np.lexsort((sequences, epochs, streams))
        streams, epochs, sequences = streams[order], epochs[order], sequences[order]
        steps = sequences[1:] - sequences[:-1]
        cut = (streams[1:] != streams[:-1]) | (epochs[1:] != epochs[:-1]) | (steps > 1)
        firsts = np.concatenate(([0], np.flatnonzero(cut) + 1))
        lasts = np.concatenate((firsts[1:] - 1, [len(order) - 1]))
        named: dict[int, _Key] = {}
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            stream = int(streams[first])
            if stream not in named:
                named[stream] = tuple(batch.column(name)[int(order[first])].as_py() for name in _STREAM)
            self._put((*named[stream], int(epochs[first])), int(sequences[first]), int(sequences[last]) + 1)

    def _put(self, key: _Key, start: int, end: int) -> None:
        runs = self._runs[key]
        runs.append((start, end))
        if len(runs) > self._limits.get(key, _MANY_RUNS):
            self._runs[key] = merged = _merged(runs)
            self._limits[key] = max(_MANY_RUNS, 2 * len(merged))

    def add(self, other: Seen) -> None:
        self.trace_ids += other.trace_ids
        self._rows += other._rows
        for key, runs in other._runs.items():
            self._runs[key] += runs

    @property
    def repeated(self) -> int:
        """Rows beyond the first of each id."""
        numbers = sum(end - start for runs in self._runs.values() for start, end in _merged(runs))
        return self._rows - numbers


def _merged(runs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    for start, end in sorted(runs):
        if made and start <= made[-1][1]:
            made[-1] = made[-1][0], max(made[-1][1], end)
        else:
            made.append((start, end))
    return made


def _trace_ids(column: Any) -> int:
    if not pc.sum(pc.binary_length(column)).as_py():
        return 0
    found = int(pc.count_distinct(column).as_py())
    return found if found > 1 else 0
