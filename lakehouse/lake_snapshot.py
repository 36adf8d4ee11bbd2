"""A pinned version of one Delta table: SQL -> Arrow rows, bounded in time, memory and concurrency."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Mapping

import pyarrow as pa
from deltalake import QueryBuilder

from contracts.errors import StoreError
from contracts.settings import Settings
from lakehouse.delta import Delta, translated


class QueryPool:
    """At most `query_concurrency` queries at once, each with a deadline. Thread-safe.

    The pool is the semaphore: a query that outlives its deadline keeps its place until it really ends.
    """

    def __init__(self, settings: Settings) -> None:
        self._timeout_s = settings.query_timeout_s
        self._pool = concurrent.futures.ThreadPoolExecutor(settings.query_concurrency, thread_name_prefix="lake-query")

    def run(self, builder: QueryBuilder, name: str, sql: str) -> pa.Table:
        """Run `sql`, waiting for a free place included, within the deadline.

        Raises:
            StoreError: It took too long, needed too much memory, or a file is gone.
        """
        late = threading.Event()
        future = self._pool.submit(_read, builder, name, sql, late)
        try:
            return future.result(self._timeout_s)
        except concurrent.futures.TimeoutError as error:
            late.set()
            future.cancel()
            raise StoreError(
                f'query of lake table "{name}" took longer than {self._timeout_s:g} s',
                hint="narrow the time range, or raise HEADWATER_QUERY_TIMEOUT_S",
            ) from error

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _read(builder: QueryBuilder, name: str, sql: str, late: threading.Event) -> pa.Table:
    with translated(f'lake table "{name}" cannot be queried'):
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
    """

    def __init__(self, table: Delta, landed: Mapping[int, int], pool: QueryPool, settings: Settings) -> None:
        self.name = table.name
        self.version = table.version
        self.landed = landed
        self._pool = pool
        self._builder = QueryBuilder()
        with translated("lake query cannot be set up"):
            self._builder.execute(f"SET datafusion.runtime.memory_limit = '{settings.query_memory_mib}M'")
        table.register(self._builder)

    def query(self, sql: str) -> pa.Table:
        """Run one SELECT over this version.

        Raises:
            StoreError: Deadline, memory, or a file that cannot be read.
        """
        return self._pool.run(self._builder, self.name, sql)
