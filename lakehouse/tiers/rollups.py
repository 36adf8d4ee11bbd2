"""Rollups: raw points of table `metrics` -> the tables `metrics_1m` and `metrics_1h`, each point counted once in each.

A run adds up the points that landed since the last one and appends them as rows of their windows, together with the
places on the bus that are covered by then: killed at any instant, the next run goes on where the commit says. A window
may have several rows, of several runs; reads add them up, so a late point restates its window, however long that is
closed. Rows stand under the arrival day of their points.
"""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import QueryBuilder
from deltalake.exceptions import CommitFailedError

from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from contracts.messages import Kind
from lakehouse.coverage import between_sql, numbers, past_sql, places
from lakehouse.delta import Delta, translated
from lakehouse.lake_literals import time_literal
from lakehouse.tables import ROLLUPS, SCHEMAS
from lakehouse.tiers.care import Care
from lakehouse.windows import points_sql, sums_sql, windows

PART_ROWS = 250_000  # raw points of a commit: 470 MiB at the peak
MEMORY_MIB = 512
FILE_BYTES = 64 << 20  # the library cuts files at 100 MiB; a day with more files than these has some to merge
ATTEMPTS = 8
APPENDED = failpoint("rollup.appended", "windows of some points are in a rollup table, with the places they cover")
REPLACED = failpoint("rollup.replaced", "a day of a rollup table has been merged or restated")

_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class RolledUp:
    """What a run did to one rollup table: points read, rows written, distinct windows of time among them."""

    rows_in: int
    rows_out: int
    windows: int
    took_s: float
    version: int


def roll_up(care: Care) -> Mapping[str, RolledUp]:
    """Add the points that have landed and are not covered yet to both rollup tables. Idempotent, safe beside itself.

    Raises:
        StoreError: It could not be finished; the next call goes on.
    """
    return {name: _roll_up(care, name) for name in ROLLUPS}


def is_covered(care: Care, day: dt.date) -> bool:
    """Whether every raw point of arrival day `day` in the lake is in both rollup tables: the day may leave then."""
    raw = care.table(Kind.METRICS.value)
    builder = _builder(raw)
    for name in ROLLUPS:
        where = f"day = {_date(day)} AND {past_sql(places(care.table(name), Kind.METRICS))}"
        if _count(builder, raw.name, where):
            return False
    return True


def merge(care: Care, name: str, day: dt.date) -> RolledUp:
    """One row a window of an arrival day, in few files sorted by time, tenant and service. Idempotent.

    `version` is that of before when nothing was to be merged.

    Raises:
        StoreError: Others changed the day all the time, or it cannot be read or written.
    """

    def rewritten(table: Delta) -> Iterator[pa.Table]:
        builder = _builder(table)
        for part in _hours(day):
            yield windows(builder, name, sums_sql(name, f"day = {_date(day)} AND {part}"))

    return _replace(care, name, day, rewritten, lambda table: not _is_merged(table, day))


def restate(care: Care, name: str, day: dt.date, where: str = "TRUE") -> RolledUp:
    """Count the windows of an arrival day anew from its raw points, as after an erasure. Idempotent.

    Points that raw has lost by retention are lost here too, as far as `where` reaches: make it as narrow as what was
    erased.

    Args:
        where: Over columns that raw points and windows share and that do not differ within a series, made from a
            validated tree; windows that do not match stay as they are.

    Raises:
        StoreError: Others changed the day all the time, or it cannot be read or written.
    """

    def recounted(table: Delta) -> Iterator[pa.Table]:
        raw = care.table(Kind.METRICS.value)
        builder = _builder(table, raw)
        covered = between_sql({}, places(table, Kind.METRICS))
        for part in _hours(day):
            here = f"day = {_date(day)} AND {part}"
            yield windows(builder, name, sums_sql(name, f"{here} AND ({where}) IS NOT TRUE"))
            yield windows(builder, name, points_sql(raw.name, f"{here} AND ({where}) AND {covered}", ROLLUPS[name]))

    return _replace(care, name, day, recounted, lambda _: True)


def _roll_up(care: Care, name: str) -> RolledUp:
    started, rows_in, rows_out, seen = time.perf_counter(), 0, 0, set[dt.datetime]()
    table, raw = care.table(name), care.table(Kind.METRICS.value)
    builder, landed, attempt = _builder(raw), places(raw, Kind.METRICS), 0
    while (covered := places(table, Kind.METRICS)) != landed:
        part = _next_part(builder, raw.name, covered, landed)
        if part is None:
            break  # another run has come further
        rows = windows(builder, name, points_sql(raw.name, between_sql(covered, part), ROLLUPS[name]))
        try:
            _append(table, rows, covered | part)
        except CommitFailedError:
            attempt = _waited(attempt, name)
            table.reopen()
            continue
        reach(APPENDED)
        rows_in, rows_out = rows_in + _total(rows), rows_out + rows.num_rows
        seen |= _starts(rows)
    return RolledUp(rows_in, rows_out, len(seen), round(time.perf_counter() - started, 3), table.version)


def _append(table: Delta, rows: pa.Table, covered: Mapping[int, int]) -> None:
    noted = numbers(covered, Kind.METRICS)
    if rows.num_rows:
        table.add(rows, noted)
    else:
        table.note(noted)


def _next_part(
    builder: QueryBuilder, raw: str, covered: Mapping[int, int], landed: Mapping[int, int]
) -> dict[int, int] | None:
    """Next offsets after about `PART_ROWS` points past `covered`; None when there is nothing up to `landed`."""
    ends = {partition: offset for partition, offset in landed.items() if offset > covered.get(partition, 0)}
    if not ends:
        return None
    part, rows = dict[int, int](), 0
    sql = (
        f"SELECT bus_partition, bus_offset, count(*) AS n FROM {raw} WHERE {between_sql(covered, ends)} "
        "GROUP BY bus_partition, bus_offset ORDER BY bus_partition, bus_offset"
    )
    with translated("raw points cannot be read"):
        for batch in pa.RecordBatchReader.from_stream(builder.execute(sql)):
            for message in batch.to_pylist():
                if rows >= PART_ROWS:
                    return part
                # What lies before in partitions that are done needs no second look.
                part |= {done: ends[done] for done in part if done != message["bus_partition"]}
                part[message["bus_partition"]] = message["bus_offset"] + 1
                rows += message["n"]
    return ends


def _replace(
    care: Care,
    name: str,
    day: dt.date,
    rewritten: Callable[[Delta], Iterator[pa.Table]],
    is_due: Callable[[Delta], bool],
) -> RolledUp:
    started, attempt, table = time.perf_counter(), 0, care.table(name)
    while True:
        if not is_due(table):
            return RolledUp(0, 0, 0, round(time.perf_counter() - started, 3), table.version)
        before = _count(_builder(table), name, f"day = {_date(day)}")
        tally = _Tally()
        reader = pa.RecordBatchReader.from_batches(SCHEMAS[name], tally.batches(rewritten(table)))
        try:
            # The places again, unchanged: a run that appends meanwhile makes this commit fail, and is seen by the next.
            table.replace(f"day = {_date(day)}", reader, numbers(places(table, Kind.METRICS), Kind.METRICS))
        except CommitFailedError:
            attempt = _waited(attempt, name)
            table.reopen()
            continue
        reach(REPLACED)
        took_s = round(time.perf_counter() - started, 3)
        return RolledUp(before, tally.rows, len(tally.windows), took_s, table.version)


class _Tally:
    """Counts rows and windows of time as they pass."""

    def __init__(self) -> None:
        self.rows = 0
        self.windows: set[dt.datetime] = set()

    def batches(self, tables: Iterator[pa.Table]) -> Iterator[pa.RecordBatch]:
        # The writer draws from inside its runtime, where the engine cannot run a query: another thread does.
        with ThreadPoolExecutor(1) as thread:
            while (table := thread.submit(next, tables, None).result()) is not None:
                self.rows += table.num_rows
                self.windows |= _starts(table)
                yield from table.to_batches()


def _is_merged(table: Delta, day: dt.date) -> bool:
    sizes = [int(file["size_bytes"]) for file in table.files() if file["partition.day"] == day]
    return len(sizes) <= 1 + sum(sizes) // FILE_BYTES


def _waited(attempt: int, name: str) -> int:
    if attempt + 1 >= ATTEMPTS:
        raise StoreError(
            f'rollup table "{name}" was changed by others {ATTEMPTS} times in a row',
            hint="the same call may be repeated",
            retry_after_s=5,
        )
    time.sleep(min(0.05 * 2**attempt, 1.0))
    return attempt + 1


def _builder(*tables: Delta) -> QueryBuilder:
    builder = QueryBuilder()
    with translated("rollup cannot be set up"):
        builder.execute(f"SET datafusion.runtime.memory_limit = '{MEMORY_MIB}M'")
    for table in tables:
        table.register(builder)
    return builder


def _count(builder: QueryBuilder, name: str, where: str) -> int:
    with translated(f'lake table "{name}" cannot be read'):
        answer = builder.execute(f"SELECT count(*) AS n FROM {name} WHERE {where}")
        return int(pa.RecordBatchReader.from_stream(answer).read_all().column("n")[0].as_py())


def _total(rows: pa.Table) -> int:
    return int(pc.sum(rows.column("count")).as_py() or 0)


def _starts(rows: pa.Table) -> set[dt.datetime]:
    return {start.as_py() for start in rows.column("timestamp").unique()}


def _date(day: dt.date) -> str:
    return f"DATE '{day.isoformat()}'"


def _hours(day: dt.date) -> list[str]:
    """Conditions that split event times, with an hour of the arrival day each: one is in memory at a time."""
    midnight = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 1_000_000
    ends = [time_literal(midnight + hour * _HOUR_US) for hour in range(25)]
    within = [f"timestamp >= {low} AND timestamp < {high}" for low, high in itertools.pairwise(ends)]
    return [f"timestamp < {ends[0]}", *within, f"timestamp >= {ends[-1]}"]
