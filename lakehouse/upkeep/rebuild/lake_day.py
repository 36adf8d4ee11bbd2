"""One arrival day of lake and archive, pinned -> the batches of the bus that its rows came in, in the bus's order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import msgspec
import pyarrow as pa
from deltalake import QueryBuilder

from contracts.batches import IMPORTED, Batch
from contracts.messages import BatchHeader, Kind
from contracts.records import EventRow, LogRow, MetricRow
from lakehouse.delta.notes import gone_of_day
from lakehouse.delta.schemas import SCHEMAS
from lakehouse.delta.table import Delta, translated
from lakehouse.lake.archive import ARCHIVE, MOVES, archive_url, table_name, visible_sql
from lakehouse.s3.store import reading_options
from lakehouse.sql.literals import day_literal
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.imports.land import next_offset
from lakehouse.upkeep.rebuild.bus_order import cuts, in_bus_order, place

MEMORY_MIB = 256  # of a query, beside what it reads at the moment
_RANGES = 4096  # of bus positions whose rows are counted

_ROWS: Mapping[Kind, Any] = {Kind.LOGS: LogRow, Kind.METRICS: MetricRow, Kind.EVENTS: EventRow}
_HEADER = ("tenant", "producer", "epoch", "stream", "sequence", "observed_timestamp")
_PLACE = ("bus_partition", "bus_offset")
_NAMES = {"index": "bus_index", "timestamp_ns": "timestamp"}  # of columns that are not called as the row's field
_TIMES = ("timestamp", "observed_timestamp")

_decode = msgspec.json.Decoder(dict).decode


class LakeDay:
    """Of one version of the lake, as it was when this was made. Not thread-safe.

    Attributes:
        total: Rows of the day.
        checkpoints: Next offset by bus partition: what lies before it was in the lake, of whatever day.

    Raises:
        StoreError: Lake or archive cannot be read.
    """

    def __init__(self, care: Care, kind: Kind, day: dt.date) -> None:
        self._kind, self._day, self._care, self._folder = kind, day, care, care.settings.data
        self._builder = QueryBuilder()
        warm = care.table(kind.value)  # pinned before the archive, whose moves it says the end of
        self.checkpoints = {**warm.landed(kind.value), IMPORTED: next_offset(warm)}
        with translated("lake query cannot be set up"):
            self._builder.execute(f"SET datafusion.runtime.memory_limit = '{MEMORY_MIB}M'")
        where = f"day = {day_literal(day)}"
        warm.register(self._builder)
        self._sources = [f"{kind.value} WHERE {where}"]
        self._removed = gone_of_day(warm, day)
        if moves := warm.noted(MOVES) or 0:
            archive = _archive(care, kind)
            archive.register(self._builder, table_name(kind))
            self._removed += gone_of_day(archive, day)
            self._sources.append(f"{table_name(kind)} WHERE {where} AND {visible_sql(moves)}")
        fields = [_NAMES.get(name, name) for name in _ROWS[kind].__struct_fields__]
        self._columns = [*_HEADER, *_PLACE, *fields]
        self.total = sum(row["n"] for row in self._asked("SELECT count(*) AS n FROM {}"))

    def changed(self) -> str:
        """What is known to have happened to the day since this was made; "" is nothing.

        Raises:
            StoreError: Lake or archive cannot be read.
        """
        now, before = LakeDay(self._care, self._kind, self._day), self.checkpoints[IMPORTED]
        if now._removed != self._removed:
            return "records were removed"
        new = f"bus_partition = {IMPORTED:d} AND bus_offset >= {before:d}"
        if now.checkpoints[IMPORTED] == before or not any(
            row["n"] for row in now._asked(f"SELECT count(*) AS n FROM {{}} AND {new}")
        ):
            return ""
        return "older records were imported"

    def batches(self) -> Iterator[list[Batch]]:
        """All rows, some tens of thousands at a time; those of one bus message are one batch.

        Raises:
            StoreError: They cannot be read, or there is no room to sort them.
        """
        schema = pa.schema([SCHEMAS[self._kind.value].field(name) for name in self._columns])
        for rows in in_bus_order(self._chunks(), schema, self._cuts(), self._folder):
            yield self._batches(rows)

    def _chunks(self) -> Iterator[pa.RecordBatch]:
        for source in self._sources:
            sql = f"SELECT {', '.join(self._columns)} FROM {source}"
            with translated(f'lake table "{self._kind.value}" cannot be read'):
                yield from pa.RecordBatchReader.from_stream(self._builder.execute(sql))

    def _cuts(self) -> list[int]:
        spans = self._asked(
            "SELECT bus_partition, min(bus_offset) AS first, max(bus_offset) AS last FROM {} GROUP BY bus_partition"
        )
        step = max(1, sum(row["last"] - row["first"] + 1 for row in spans) // _RANGES)
        counts: dict[int, int] = {}
        for row in self._asked(
            f"SELECT bus_partition, bus_offset / {step:d} AS range, count(*) AS n FROM {{}} GROUP BY 1, 2"
        ):
            first = place(row["bus_partition"], row["range"] * step)
            counts[first] = counts.get(first, 0) + row["n"]
        return cuts(sorted(counts.items()))

    def _asked(self, sql: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for source in self._sources:
            with translated(f'lake table "{self._kind.value}" cannot be read'):
                answer = self._builder.execute(sql.format(source))
                found += pa.RecordBatchReader.from_stream(answer).read_all().to_pylist()
        return found

    def _batches(self, rows: pa.Table) -> list[Batch]:
        columns = {name: rows.column(name) for name in self._columns}
        for name in _TIMES:
            columns[name] = columns[name].cast(pa.int64())
        values: dict[str, list[Any]] = {name: column.to_pylist() for name, column in columns.items()}
        values["timestamp"] = [time_us * 1000 for time_us in values["timestamp"]]
        known: dict[str, dict[str, Any]] = {}  # what rows have in common is read once
        values["attributes"] = [
            known.get(text) or known.setdefault(text, _decode(text)) for text in values["attributes"]
        ]
        make = _ROWS[self._kind]
        made = map(make, *(values[_NAMES.get(name, name)] for name in make.__struct_fields__))
        heads = zip(*(values[name] for name in (*_PLACE, *_HEADER)), strict=True)
        batches = []
        for _, group in groupby(zip(heads, made, strict=True), key=lambda pair: pair[0][:2]):
            pairs = list(group)
            batches.append(self._batch(pairs[0][0], [row for _, row in pairs]))
        return batches

    def _batch(self, head: tuple[Any, ...], rows: list[Any]) -> Batch:
        partition, offset, tenant, producer, epoch, stream, sequence, observed_us = head
        header = BatchHeader(
            tenant=tenant,
            kind=self._kind,
            producer=producer,
            epoch=epoch,
            stream=stream,
            sequence=sequence - rows[0].index,
            received_ns=observed_us * 1000,
        )
        return Batch(header, partition, offset, rows, received=len(rows))


def _archive(care: Care, kind: Kind) -> Delta:
    url = archive_url(care.settings)
    return Delta(url, kind.value, reading_options(url, care.settings), ARCHIVE, create=False)
