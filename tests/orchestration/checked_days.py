"""Days of a small lake, landed by the flow's own writer -> a folder to copy, and defects to put into it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder, write_deltalake

from contracts.batches import Batch, Reject
from contracts.messages import Kind
from contracts.records import LogRow
from lakehouse.lake.writer import LakeWriter
from lakehouse.upkeep.care import Care
from tests.lakehouse.lake_samples import ACME, OTHER, batch, log
from tests.settings import settings

FIRST = dt.date(2026, 3, 1)
DAYS = 4  # the last one is the day that defects are put into
DAY = FIRST + dt.timedelta(days=DAYS - 1)
HOUR_NS = 3600 * 10**9
ROWS = 60  # of a message; two an hour
COMMIT_MESSAGES = 13  # not a divisor of a day's messages: commits reach across midnight


def care_of(folder: Path) -> Care:
    """The clock stands at noon, two days after `DAY`."""
    noon = dt.datetime.combine(DAY + dt.timedelta(days=2), dt.time(12), dt.UTC)
    return Care(settings(data_dir=folder), lambda: int(noon.timestamp()) * 10**9)


def _row(index: int, at_ns: int) -> LogRow:
    return log(
        index,
        f"took {index} ms",
        at_ns - index * 10**7,
        service=("api", "web")[index % 2],
        host=("h1", "h2")[index % 2],
        attributes={"http.response.status_code": 200, "route": f"/{index % 7}"},
    )


def _message(day: dt.date, hour: int, partition: int, offset: int, rows: int = ROWS) -> Batch:
    midnight_ns = int(dt.datetime.combine(day, dt.time(), dt.UTC).timestamp()) * 10**9
    at_ns = midnight_ns + hour * HOUR_NS + 1800 * 10**9 + partition
    account: dict[str, Any] = {}
    if hour == 3:
        account = {"duplicates": 4, "dropped": {"policy": 2}, "rejects": [Reject(59, b"", "bad", "bad", "parse")]}
    tenant = (ACME, OTHER)[offset % 2]
    return batch(
        *(_row(index, at_ns) for index in range(rows)),
        offset=offset,
        partition=partition,
        tenant=tenant,
        received_ns=at_ns,
        **account,
    )


def messages(days: Iterable[dt.date], rows_of: Callable[[dt.date, int], int] = lambda _, __: ROWS) -> Iterator[Batch]:
    """Two bus partitions, one message of each an hour, of two tenants in turn."""
    for number, day in enumerate(days):
        for hour in range(24):
            for partition in (0, 1):
                yield _message(day, hour, partition, number * 24 + hour, rows_of(day, hour))


def land(care: Care, batches: Iterable[Batch], every: int = COMMIT_MESSAGES) -> None:
    writer = LakeWriter(care.settings.lake, Kind.LOGS, care.settings)
    for number, item in enumerate(batches):
        writer.append([item])
        if number % every == 0:
            writer.commit()
    writer.commit()


def all_days() -> list[dt.date]:
    return [FIRST + dt.timedelta(days=number) for number in range(DAYS + 1)]


def table(care: Care) -> DeltaTable:
    return DeltaTable(f"{care.settings.lake}/logs")


def rows_of_day(care: Care, day: dt.date = DAY) -> pa.Table:
    answer = QueryBuilder().register("logs", table(care)).execute(f"SELECT * FROM logs WHERE day = '{day}'")
    rows = pa.RecordBatchReader.from_stream(answer).read_all()
    schema = pa.schema([pa.field(f.name, _plain(f.type)) for f in rows.schema])
    return rows.cast(schema).sort_by(
        [("bus_partition", "ascending"), ("bus_offset", "ascending"), ("bus_index", "ascending")]
    )


def _plain(dtype: pa.DataType) -> pa.DataType:
    return pa.string() if str(dtype) in ("string_view", "large_string") else dtype


def rewrite(care: Care, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], day: dt.date = DAY) -> None:
    """Put other rows in the place of a day's, behind the writer's back."""
    rows = rows_of_day(care, day)
    changed = pa.Table.from_pylist(change(rows.to_pylist()), rows.schema)
    write_deltalake(table(care), changed, mode="overwrite", predicate=f"day = '{day}'")


def each(
    where: Callable[[dict[str, Any]], bool], **values: Any
) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """A change of every row that `where` says; a value may be a function of the row."""

    def change(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for row in filter(where, rows):
            row |= {name: value(row) if callable(value) else value for name, value in values.items()}
        return rows

    return change
