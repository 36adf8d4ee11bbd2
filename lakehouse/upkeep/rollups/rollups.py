"""Rollups: raw points of table `metrics` -> the tables `metrics_1m` and `metrics_1h`; both count every point once.

A run adds up the points that landed since the last run and appends one row per window. The same commit notes the bus
offsets that are covered, so the next run continues there, also after a kill. A window may have rows of several runs;
reads add them up, so a late point changes its window at any time. A row belongs to the arrival day of its points.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.compute as pc
from deltalake.exceptions import CommitFailedError

from contracts.failpoints import failpoint, reach
from contracts.messages import Kind
from lakehouse.delta.races import retried
from lakehouse.delta.schemas import ROLLUPS
from lakehouse.delta.table import Delta, translated
from lakehouse.sql.coverage import between_sql, numbers, past_sql, places
from lakehouse.sql.literals import day_literal, time_literal
from lakehouse.sql.windows import points_sql, sums_sql, windows
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.rollups.raw_points import RawPoints, builder_of, query

PART_ROWS = 250_000  # raw points of a commit: 470 MiB at the peak
FILE_BYTES = 64 << 20  # a day with more files than bytes / FILE_BYTES + 1 is merged; the library cuts files at 100 MiB
APPENDED = failpoint("rollup.appended", "windows of some points are in a rollup table, with the offsets they cover")
REPLACED = failpoint("rollup.replaced", "a day of a rollup table has been merged or restated")

_TURN = "rollup:turn"
_MOVES = "rollup:moves"  # number of the last move to the archive whose points are all in the table
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True)
class RolledUp:
    """Result of a run for one rollup table: points read, rows written, distinct time windows among the rows."""

    rows_in: int
    rows_out: int
    windows: int
    took_s: float
    version: int


def roll_up(care: Care) -> Mapping[str, RolledUp]:
    """Add the landed points that are not covered yet to both rollup tables. Idempotent; several runs at once are safe.

    Raises:
        StoreError: Not all points were added; the next call continues.
    """
    return {name: _roll_up(care, name) for name in ROLLUPS}


def is_covered(care: Care, day: dt.date) -> bool:
    """True if both rollup tables have all raw points of arrival day `day` in the lake; then the day may be removed."""
    tables = [care.table(name) for name in ROLLUPS]
    raw = RawPoints(care, min(table.noted(_MOVES) or 0 for table in tables))
    past = [past_sql(places(table, Kind.METRICS)) for table in tables]
    sql = f"SELECT bus_offset FROM {raw.relation} WHERE day = {day_literal(day)} AND ({' OR '.join(past)}) LIMIT 1"
    return next(query(raw.builder, sql), None) is None


def fence(care: Care) -> None:
    """Make the commit of every running run fail, so that it reads the raw points again. Idempotent.

    An erasure calls this after it removed raw points and before `restate`; else such a run would bring them back.

    Raises:
        StoreError: The tables cannot be written, or other processes changed them during every attempt.
    """
    for name in ROLLUPS:
        table = care.table(name)
        retried(table, partial(_fence, table))


def _fence(table: Delta) -> None:
    table.note(_turn(table))


def merge(care: Care, name: str, day: dt.date) -> RolledUp:
    """Merge an arrival day to one row per window, in few files sorted by time, tenant and service. Idempotent.

    If nothing has to be merged, `version` is unchanged.

    Raises:
        StoreError: The table cannot be read or written, or others changed the day during every attempt.
    """

    def rewritten(table: Delta) -> Iterator[pa.Table]:
        builder, here = builder_of(table), f"day = {day_literal(day)}"
        for part in _parts(query(builder, _hours_sql(name, here))):
            yield windows(builder, name, sums_sql(name, f"{here} AND {part}"))

    return _replace(care, name, day, rewritten, lambda table: not _is_merged(table, day))


def restate(care: Care, name: str, day: dt.date, where: str = "TRUE") -> RolledUp:
    """Compute the windows of an arrival day again from its raw points, after an erasure. Idempotent.

    Matching windows lose the points that retention has removed, so `where` must match no more than was erased.

    Args:
        where: Predicate from a validated tree, over columns of raw points and windows that are constant within a
            series; windows that do not match stay unchanged.

    Raises:
        StoreError: The table cannot be read or written, or others changed the day during every attempt.
    """

    def recounted(table: Delta) -> Iterator[pa.Table]:
        builder, raw = builder_of(table), RawPoints(care)
        here = f"day = {day_literal(day)}"
        kept = f"{here} AND ({where}) IS NOT TRUE"
        counted = f"{here} AND ({where}) AND {between_sql({}, places(table, Kind.METRICS))}"
        hours = [*query(builder, _hours_sql(name, kept)), *query(raw.builder, _hours_sql(raw.relation, counted))]
        for part in _parts(hours):
            yield windows(builder, name, sums_sql(name, f"{kept} AND {part}"))
            points = points_sql(raw.relation, f"{counted} AND {part}", ROLLUPS[name])
            yield windows(raw.builder, name, points)

    return _replace(care, name, day, recounted, lambda _: True)


def _roll_up(care: Care, name: str) -> RolledUp:
    started, rows_in, rows_out, seen = time.perf_counter(), 0, 0, set[dt.datetime]()
    table, raw = care.table(name), None

    def next_rows() -> pa.Table | None:
        nonlocal raw
        raw = raw or RawPoints(care, table.noted(_MOVES) or 0)  # pinned after `table`, so that a fence is noticed
        covered = places(table, Kind.METRICS)
        if (part := _next_part(raw, covered)) is None:
            _note_moves(table, raw.moves)
            return None
        rows = windows(raw.builder, name, points_sql(raw.relation, between_sql(covered, part), ROLLUPS[name]))
        try:
            _append(table, rows, numbers(covered | part, Kind.METRICS))
        except CommitFailedError:  # perhaps an erasure's fence: pin the raw points again
            raw = None
            raise
        reach(APPENDED)
        return rows

    while (rows := retried(table, next_rows)) is not None:
        rows_in, rows_out = rows_in + _total(rows), rows_out + rows.num_rows
        seen |= _starts(rows)
    return RolledUp(rows_in, rows_out, len(seen), round(time.perf_counter() - started, 3), table.version)


def _note_moves(table: Delta, moves: int) -> None:
    if moves != (table.noted(_MOVES) or 0):
        with contextlib.suppress(CommitFailedError):  # the next run looks into the archive again
            table.note({_MOVES: moves})


def _append(table: Delta, rows: pa.Table, noted: Mapping[str, int]) -> None:
    if rows.num_rows:
        table.add(rows, {**noted, **_turn(table)})
    else:
        table.note({**noted, **_turn(table)})


def _turn(table: Delta) -> dict[str, int]:
    """A number in every commit, so that one of two commits from the same version fails."""
    return {_TURN: (table.noted(_TURN) or 0) + 1}


def _next_part(raw: RawPoints, covered: Mapping[int, int]) -> dict[int, int] | None:
    """Next offsets after about `PART_ROWS` points past `covered`; None if all points are covered."""
    ends = {partition: offset for partition, offset in raw.landed.items() if offset > covered.get(partition, 0)}
    if not ends:
        return None
    part, rows = dict[int, int](), 0
    sql = (
        f"SELECT bus_partition, bus_offset, count(*) AS n FROM {raw.relation} WHERE {between_sql(covered, ends)} "
        "GROUP BY bus_partition, bus_offset ORDER BY bus_partition, bus_offset"
    )
    for message in query(raw.builder, sql):
        if rows >= PART_ROWS:
            return part
        # The rows come partition by partition, so all earlier partitions are read to their ends.
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
    started, table = time.perf_counter(), care.table(name)

    def replaced() -> RolledUp:
        if not is_due(table):
            return RolledUp(0, 0, 0, round(time.perf_counter() - started, 3), table.version)
        before = sum(file["num_records"] for file in table.files() if file["partition.day"] == day)
        tally = _Tally()
        with translated(f"rows of {table.what} cannot be replaced"):
            made = table.new_files().write({"day": day.isoformat()}, tally.batches(rewritten(table)))
        table.replace(day, [made] if made is not None else [], _turn(table))
        reach(REPLACED)
        took_s = round(time.perf_counter() - started, 3)
        return RolledUp(before, tally.rows, len(tally.windows), took_s, table.version)

    return retried(table, replaced)


class _Tally:
    """Counts rows and windows of time as they pass."""

    def __init__(self) -> None:
        self.rows = 0
        self.windows: set[dt.datetime] = set()

    def batches(self, tables: Iterator[pa.Table]) -> Iterator[pa.RecordBatch]:
        for table in tables:
            self.rows += table.num_rows
            self.windows |= _starts(table)
            yield from table.to_batches()


def _is_merged(table: Delta, day: dt.date) -> bool:
    sizes = [int(file["size_bytes"]) for file in table.files() if file["partition.day"] == day]
    return len(sizes) <= 1 + sum(sizes) // FILE_BYTES


def _total(rows: pa.Table) -> int:
    return int(pc.sum(rows.column("count")).as_py() or 0)


def _starts(rows: pa.Table) -> set[dt.datetime]:
    return {start.as_py() for start in rows.column("timestamp").unique()}


def _hours_sql(relation: str, where: str) -> str:
    hour = f"CAST(timestamp AS BIGINT) / {_HOUR_US:d}"
    return f"SELECT {hour} AS hour, count(*) AS n FROM {relation} WHERE {where} GROUP BY {hour}"


def _parts(hours: Iterable[Mapping[str, int]]) -> Iterator[str]:
    """Predicates that split the event times at whole hours into parts of about `PART_ROWS` rows, to bound memory."""
    counts: Counter[int] = Counter()
    for found in hours:
        counts[found["hour"]] += found["n"]
    first, rows, ordered = 0, 0, sorted(counts)
    for at, hour in enumerate(ordered):
        rows += counts[hour]
        if rows >= PART_ROWS or at + 1 == len(ordered):
            low, high = time_literal(ordered[first] * _HOUR_US), time_literal((hour + 1) * _HOUR_US)
            yield f"timestamp >= {low} AND timestamp < {high}"
            first, rows = at + 1, 0
