"""The rows of a subject in the tables of lake and archive -> found by day, and removed.

A row is deleted by its place on the bus where there are not very many: the log of the table then says nothing of the
subject. Dead letters are read one by one (`lakehouse.lake.erasure_tests`).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from deltalake import QueryBuilder
from deltalake.exceptions import CommitFailedError

from contracts.batches import IMPORTED
from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from contracts.messages import ERASED, Kind
from lakehouse.conditions import Clause
from lakehouse.delta.removal import counts, remove
from lakehouse.delta.schemas import LEDGER, SCHEMAS
from lakehouse.delta.table import Delta, translated
from lakehouse.delta.tables import exists
from lakehouse.lake.archive import ARCHIVE as ARCHIVED
from lakehouse.lake.archive import archive_url, copied_sql, finished_moves, visible_sql
from lakehouse.lake.erasure_requests import Request
from lakehouse.lake.erasure_tests import Tests
from lakehouse.s3.store import writing_options
from lakehouse.sql.coverage import past_sql
from lakehouse.sql.literals import day_literal, text_literal, time_literal
from lakehouse.sql.query import where_sql
from lakehouse.upkeep.care import Care

LAKE, ARCHIVE = "lake", "archive"
CHUNK_PLACES = 5_000  # named in one commit
CHUNK_GROUPS = 500  # of places that share a line number, or a message; the engine plans 1,000 of them in a second
MANY = 50_000  # of a day: they are named by the query
REMOVED = failpoint("erase.rows_removed", "some rows of the subject are gone from one table")


@dataclass(frozen=True, slots=True)
class Target:
    """One table that may hold rows of a subject."""

    tier: str
    kind: Kind
    table: Delta
    warm: Delta | None = None  # of an archive: the table that says which moves are finished
    ledger: Delta | None = None  # of the lake: the table that says which rows have an account

    @property
    def name(self) -> str:
        return f"{self.tier}/{self.kind.value}"


def targets(care: Care, request: Request) -> list[Target]:
    """Warm before archive: a day that moves meanwhile is met in the archive.

    Raises:
        StoreError: One of them cannot be opened, or is missing.
    """
    kinds = [*request.where, Kind.DEAD_LETTERS]
    warm = [Target(LAKE, kind, care.table(kind.value), ledger=care.table(LEDGER)) for kind in kinds]
    url, settings = archive_url(care.settings), care.settings
    options = writing_options(url, settings)
    moved = [each for each in warm if finished_moves(each.table) or exists(url, each.kind.value, options)]
    archived = [Delta(url, each.kind.value, options, ARCHIVED, create=False) for each in moved]
    return warm + [Target(ARCHIVE, one.kind, table, one.table) for one, table in zip(moved, archived, strict=True)]


def noted(request: Request, day: dt.date) -> str:
    """Under which name a table counts the rows of a day that one erasure removed."""
    return f"erasure:{request.id}:{day.isoformat()}"


def _own_sql(request: Request, kind: Kind) -> str:
    """Rows of a kind that are old enough, and the tenant's."""
    received = "timestamp" if kind is Kind.DEAD_LETTERS else "observed_timestamp"
    return f"tenant = {text_literal(request.tenant)} AND {received} < {time_literal(request.at_ns // 1000)}"


def _where(request: Request, kind: Kind) -> Clause[str]:
    return where_sql(request.where[kind], kind)


def found(target: Target, request: Request) -> dict[dt.date, int]:
    """How many rows of each day are the subject's, in the newest version.

    Raises:
        StoreError: The table cannot be read.
    """
    target.table.refresh()
    if target.kind is Kind.DEAD_LETTERS:
        return {day: len(places) for day, places in _letters(target.table, request, "TRUE").items()}
    where = f"{_own_sql(request, target.kind)} AND {_where(request, target.kind).sure}"
    sql = f"SELECT day, count(*) AS n FROM {target.table.name} WHERE {where} GROUP BY day"
    days = {row["day"]: row["n"] for batch in _read(target.table, sql) for row in batch.to_pylist()}
    for row in _looked_at(target, request, "TRUE"):
        days[row["day"]] = days.get(row["day"], 0) + 1
    return days


def _looked_at(target: Target, request: Request, where: str) -> Iterator[dict[str, Any]]:
    """The subject's rows of which SQL is not sure."""
    clause = _where(request, target.kind)
    if clause.possible is None:
        return
    tests, unsure = Tests(request.subject), f"{clause.possible} AND NOT {clause.sure}"
    columns = ", ".join(SCHEMAS[target.kind.value].names)
    sql = f"SELECT {columns} FROM {target.table.name} WHERE {where} AND {_own_sql(request, target.kind)} AND {unsure}"
    for batch in _read(target.table, sql):
        yield from (row for row in batch.to_pylist() if tests.row(target.kind, row))


Place = tuple[int, int, int]  # bus partition, offset, line

_PLACE = "bus_partition, bus_offset, bus_index"


def _letters(table: Delta, request: Request, where: str) -> dict[dt.date, list[Place]]:
    tests, found = Tests(request.subject), dict[dt.date, list[Place]]()
    sql = (
        f"SELECT day, {_PLACE}, payload, source_kind, source_producer FROM {table.name} "
        f"WHERE {where} AND {_own_sql(request, Kind.DEAD_LETTERS)}"
    )
    for batch in _read(table, sql):
        for row in batch.to_pylist():
            if tests.letter(row["source_kind"], row["source_producer"], row["payload"]):
                found.setdefault(row["day"], []).append(_place(row))
    return found


def _place(row: dict[str, Any]) -> Place:
    return row["bus_partition"], row["bus_offset"], row["bus_index"]


def remove_found(target: Target, request: Request, day: dt.date) -> int:
    """Remove the subject's rows of one day, counted in the table. Idempotent; how many went.

    Raises:
        StoreError: They could not all be removed; the same call may be repeated.
    """
    target.table.refresh()
    where = f"day = {day_literal(day)} AND tenant = {text_literal(request.tenant)}"
    if target.kind is Kind.DEAD_LETTERS:
        return _remove_places(target, request, day, where, _letters(target.table, request, where).get(day, []))
    clause, gone = _where(request, target.kind), 0
    sure = f"{where} AND {_own_sql(request, target.kind)} AND {clause.sure}"
    while places := _some_places(target, request, where, sure):
        if len(places) > MANY and (many := _remove_many(target, request, day, sure)):
            gone += many
            if clause.possible is None:
                break
        else:
            removed = _remove_places(target, request, day, where, places)
            gone += removed
            if len(places) <= MANY or not removed:
                break
        target.table.refresh()
    return gone


def _some_places(target: Target, request: Request, where: str, sure: str) -> list[Place]:
    """Where the subject's rows are; more than `MANY` when there are more."""
    sql = f"SELECT {_PLACE} FROM {target.table.name} WHERE {sure} LIMIT {MANY + 1:d}"
    found = [place for batch in _read(target.table, sql) for place in zip(*_columns(batch), strict=True)]
    return found + [_place(row) for row in itertools.islice(_looked_at(target, request, where), MANY + 1)]


def _remove_places(target: Target, request: Request, day: dt.date, where: str, places: list[Place]) -> int:
    return sum(_remove(target, request, day, f"{where} AND {part}") for part in _chunks(places))


def _drop_unfinished(target: Target, where: str) -> str:
    """Delete what matches of moves that have not ended: copies, that nothing counts. What is to be deleted then."""
    if target.warm is None:
        return where
    target.warm.refresh()
    moves = finished_moves(target.warm)
    with contextlib.suppress(CommitFailedError):  # met again in the next round
        target.table.delete(f"{where} AND {copied_sql(moves)}", {})
    target.table.refresh()
    return f"{where} AND {visible_sql(moves)}"


def _drop_unaccounted(target: Target, request: Request, day: dt.date, where: str) -> str:
    """Delete what matches of rows that a crash left without an account: the replay that makes it says that they were
    dropped. What is to be deleted, and counted, then.

    A flow that runs has no such rows of the subject, as it was waited for.
    """
    if target.ledger is None:
        return where
    target.ledger.refresh()
    target.table.refresh()
    known, name = target.ledger.landed(target.kind.value), noted(request, day)
    if all(known.get(part, 0) >= end for part, end in target.table.landed(target.kind.value).items()):
        return where
    past = past_sql({**known, IMPORTED: 1 << 62})
    if rows := sum(counts(target.table, f"{where} AND {past}").values()):
        with contextlib.suppress(CommitFailedError):  # met again in the next round
            target.table.delete(f"{where} AND {past}", {name: (target.table.noted(name) or 0) + rows})
        target.table.refresh()
    return f"{where} AND NOT {past}"


def _remove(target: Target, request: Request, day: dt.date, where: str) -> int:
    counted = _drop_unaccounted(target, request, day, _drop_unfinished(target, where))
    gone = sum(remove(target.table, counted, ERASED, noted=noted(request, day)).values())
    reach(REMOVED)
    return gone


def _remove_many(target: Target, request: Request, day: dt.date, where: str) -> int | None:
    """In one commit; None: the engine cannot delete by this query (it cannot write all of them into its log)."""
    try:
        return _remove(target, request, day, where)
    except StoreError as error:
        if "convert expression" not in str(error):
            raise
        return None


def _columns(batch: pa.RecordBatch) -> list[list[Any]]:
    return [column.to_pylist() for column in batch.columns]


def _chunks(places: list[Place]) -> Iterator[str]:
    """Predicates that name them, each no longer than the engine takes in one commit."""
    for partition, in_it in itertools.groupby(sorted(places), lambda place: place[0]):
        chunk, offsets, lines = list[tuple[int, int]](), set[int](), set[int]()
        for _, offset, line in in_it:
            offsets.add(offset)
            lines.add(line)
            if len(chunk) == CHUNK_PLACES or min(len(offsets), len(lines)) > CHUNK_GROUPS:
                yield _among(partition, chunk)
                chunk, offsets, lines = [], {offset}, {line}
            chunk.append((offset, line))
        yield _among(partition, chunk)


def _among(partition: int, chunk: Sequence[tuple[int, int]]) -> str:
    """Columns and literals alone: beside another's commit the engine reads its own text of them again, and cannot read
    that of an arithmetic in a list."""
    by_line, by_offset = dict[int, list[int]](), dict[int, list[int]]()
    for offset, line in chunk:
        by_line.setdefault(line, []).append(offset)
        by_offset.setdefault(offset, []).append(line)
    offsets = f"bus_offset >= {min(by_offset):d} AND bus_offset <= {max(by_offset):d}"  # files are pruned by these
    shared, members, other = (
        ("bus_index", by_line, "bus_offset")
        if len(by_line) <= len(by_offset)
        else ("bus_offset", by_offset, "bus_index")
    )
    parts = (
        f"{shared} = {value:d} AND {other} IN ({', '.join(map(str, among))})"
        for value, among in sorted(members.items())
    )
    return f"bus_partition = {partition:d} AND {offsets} AND (({') OR ('.join(parts)}))"


def _read(table: Delta, sql: str) -> Iterator[pa.RecordBatch]:
    with translated(f'lake table "{table.name}" cannot be read'):
        builder = QueryBuilder()
        table.register(builder)
        yield from pa.RecordBatchReader.from_stream(builder.execute(sql))
