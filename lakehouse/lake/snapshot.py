"""A pinned version of one Delta table: SQL -> Arrow rows, bounded in time, memory and concurrency."""

from __future__ import annotations

import concurrent.futures
import threading
import time
from collections.abc import Mapping

import pyarrow as pa
from deltalake import QueryBuilder

from contracts.errors import StoreError
from contracts.settings import Settings
from lakehouse.delta.table import Delta, translated


class QueryPool:
    """At most `query_concurrency` queries at once, each with a deadline. Thread-safe.

    A query that outlives its deadline keeps its slot until it really ends: the engine cannot be interrupted. It runs
    on a daemon thread, so that it does not keep the process from ending.
    """

    def __init__(self, settings: Settings) -> None:
        self._timeout_s = settings.query_timeout_s
        self._slots = threading.BoundedSemaphore(settings.query_concurrency)

    def run(self, builder: QueryBuilder, what: str, sql: str) -> pa.Table:
        """Run `sql`, waiting for a free slot included, within the deadline.

        Raises:
            StoreError: It took too long, needed too much memory or a thread that is not to be had, or a file is gone.
        """
        ends = time.monotonic() + self._timeout_s
        if not self._slots.acquire(timeout=self._timeout_s):
            raise StoreError(f"{self._timeout_s:g} s passed before a lake query could start", retry_after_s=5)
        future: concurrent.futures.Future[pa.Table] = concurrent.futures.Future()
        late = threading.Event()
        self._start(threading.Thread(target=self._work, args=(future, builder, what, sql, late), daemon=True), what)
        try:
            return future.result(max(0.0, ends - time.monotonic()))
        except concurrent.futures.TimeoutError as error:
            late.set()
            raise StoreError(
                f"query of {what} took longer than {self._timeout_s:g} s",
                hint="narrow the time range, or raise HEADWATER_QUERY_TIMEOUT_S",
            ) from error

    def _start(self, thread: threading.Thread, what: str) -> None:
        try:
            thread.start()
        except RuntimeError as error:
            self._slots.release()  # no thread is there that would do it
            raise StoreError(
                f"query of {what} cannot be started: {error}",
                hint="raise the limit of threads or the memory of this process",
                retry_after_s=5,
            ) from error

    def _work(
        self,
        future: concurrent.futures.Future[pa.Table],
        builder: QueryBuilder,
        what: str,
        sql: str,
        late: threading.Event,
    ) -> None:
        try:
            future.set_result(_read(builder, what, sql, late))
        except BaseException as error:  # handed to the caller, who waits for it
            future.set_exception(error)
        finally:
            self._slots.release()


def _read(builder: QueryBuilder, what: str, sql: str, late: threading.Event) -> pa.Table:
    with translated(f"{what} cannot be queried"):
        # The library's own reader holds the interpreter lock for the whole query; Arrow's does not.
        reader = pa.RecordBatchReader.from_stream(builder.execute(sql))
        batches = []
        for batch in reader:
            if late.is_set():
                break
            batches.append(batch)
        return pa.Table.from_batches(batches, reader.schema)


class Snapshot:
    """One version of one table; thread-safe.

    Attributes:
        version: Of the Delta table.
        landed: Next bus offset by partition in this very version, of the kind that was asked for.
        moves: How many moves to the archive are finished in this version.
        timeout_s: Deadline of each query.
    """

    def __init__(
        self, table: Delta, landed: Mapping[int, int], pool: QueryPool, settings: Settings, moves: int = 0
    ) -> None:
        self.name = table.name
        self.version = table.version
        self.landed = landed
        self.moves = moves
        self.timeout_s = settings.query_timeout_s
        self._what = table.what
        self._pool = pool
        self._builder = QueryBuilder()
        with translated("lake query cannot be set up"):
            self._builder.execute(f"SET datafusion.runtime.memory_limit = '{settings.query_memory_mib}M'")
        table.register(self._builder)

    def add(self, table: Delta, name: str) -> None:
        """Pin the version of another table too, under `name`."""
        table.register(self._builder, name)

    def query(self, sql: str, what: str = "") -> pa.Table:
        """Run one SELECT over this version. `what` is read, for messages; "" is this table.

        Raises:
            StoreError: Deadline, memory, or a file that cannot be read.
        """
        return self._pool.run(self._builder, what or self._what, sql)
