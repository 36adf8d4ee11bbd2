"""Range files: rows of numbered ranges -> one file for each range, with few files open at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa

SHARE = 4  # a compaction opens at most a quarter of the files that the process may have open
LEAST, MOST = 8, 2048


def most_open(limit: int, workers: int) -> int:
    """Number of files that each of `workers` may hold open if the process may have `limit` open files."""
    return min(MOST, max(LEAST, limit // SHARE // workers))


class RangeFiles:
    """Files of one worker. Not thread-safe. Close it.

    At most `most` files are open: the least recently written file is closed first, and a closed file continues with
    another stream at its end. Rows in order of time touch few ranges at a time.
    """

    def __init__(self, folder: Path, worker: int, most: int) -> None:
        self._folder, self._worker, self._most = folder, worker, most
        self._open: dict[int, tuple[pa.RecordBatchStreamWriter, ExitStack]] = {}  # oldest first

    def write(self, number: int, rows: pa.RecordBatch) -> None:
        """Add rows to range `number`."""
        found = self._open.pop(number, None)
        if found is None:
            if len(self._open) >= self._most:
                self._open.pop(next(iter(self._open)))[1].close()
            found = _opened(file_of(self._folder, number, self._worker), rows.schema)
        self._open[number] = found
        found[0].write_batch(rows)

    def close(self) -> None:
        with ExitStack() as all_of_them:
            for _, opened in self._open.values():
                all_of_them.callback(opened.close)
            self._open.clear()


def file_of(folder: Path, number: int, worker: int) -> Path:
    return folder / f"{number}-{worker}"


def read(path: Path) -> Iterator[pa.Table]:
    """The rows of a file, stream by stream."""
    with pa.OSFile(str(path), "rb") as file:
        while file.tell() < file.size():
            with pa.ipc.open_stream(file) as stream:
                yield stream.read_all()


def _opened(path: Path, schema: pa.Schema) -> tuple[pa.RecordBatchStreamWriter, ExitStack]:
    options = pa.ipc.IpcWriteOptions(compression="lz4", use_threads=False)
    with ExitStack() as stack:
        file = stack.enter_context(pa.OSFile(str(path), "ab"))
        writer = stack.enter_context(pa.ipc.new_stream(file, schema, options=options))
        return writer, stack.pop_all()
