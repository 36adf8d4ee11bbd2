"""Lake rows: rows of lake and archive, pinned together -> the batches in which they came, in bus order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import msgspec
import pyarrow as pa

from contracts.batches import Batch
from contracts.messages import BatchHeader, Kind
from contracts.records import EventRow, LogRow, MetricRow
from lakehouse.delta.schemas import RESERVED_NAMES, SCHEMAS
from lakehouse.delta.table import translated
from lakehouse.lake.archive import open_archive
from lakehouse.lake.view import View, bounded
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.rebuild.bus_order import cuts, in_bus_order, place

MEMORY_MIB = 256  # of a query, without its read buffers
_RANGES = 4096  # number of ranges of bus positions whose rows are counted

_ROWS: Mapping[Kind, Any] = {Kind.LOGS: LogRow, Kind.METRICS: MetricRow, Kind.EVENTS: EventRow}
_HEADER = ("tenant", "producer", "epoch", "stream", "sequence", "observed_timestamp")
_PLACE = ("bus_partition", "bus_offset")
_NAMES = {"index": "bus_index", "timestamp_ns": "timestamp"}  # fields whose column has another name
_TIMES = ("timestamp", "observed_timestamp")

_decode = msgspec.json.Decoder(dict).decode


class LakeRows:
    """Rows of one kind in the lake's version at the time of the call. Not thread-safe.

    Attributes:
        warm: The lake's table, at that version.
        archive: The archive's table; None if no day was moved.
        landed: Next offset by bus partition: the rows of all earlier messages are in the lake.

    Raises:
        StoreError: Lake or archive cannot be read.
    """

    def __init__(self, care: Care, kind: Kind) -> None:
        self._kind, self._folder = kind, care.settings.data
        self.warm = care.table(kind.value)
        self.landed = self.warm.landed(kind.value)
        view = View.pin(self.warm, lambda: open_archive(care.settings, kind))
        self.archive = view.archive
        self._builder = bounded(MEMORY_MIB)
        view.register(self._builder)
        self._tables = [(part.name, part.visible) for part in view.parts()]
        fields = [_NAMES.get(name, name) for name in _ROWS[kind].__struct_fields__]
        self._columns = [*_HEADER, *_PLACE, *fields]

    def count(self, where: str) -> int:
        """Number of rows that match."""
        return sum(row["n"] for row in self._asked("count(*) AS n", where))

    def days(self, where: str) -> dict[dt.date, int]:
        """The arrival days of rows that match, with the number of rows."""
        found: dict[dt.date, int] = {}
        for row in self._asked("day, count(*) AS n", where, "GROUP BY day"):
            found[row["day"]] = found.get(row["day"], 0) + row["n"]
        return found

    def batches(self, where: str) -> Iterator[list[Batch]]:
        """The rows that match, some tens of thousands at a time; the rows of one bus message are one batch.

        Raises:
            StoreError: The rows cannot be read, or the disk has no room to sort them.
        """
        schema = pa.schema([SCHEMAS[self._kind.value].field(name) for name in self._columns])
        for rows in in_bus_order(self._chunks(where), schema, self._cuts(where), self._folder):
            yield self._batches(rows)

    def _chunks(self, where: str) -> Iterator[pa.RecordBatch]:
        for table, visible in self._tables:
            sql = f"SELECT {', '.join(self._columns)} FROM {table} WHERE {where} AND {visible}"
            with translated(f'lake table "{self._kind.value}" cannot be read'):
                yield from pa.RecordBatchReader.from_stream(self._builder.execute(sql))

    def _cuts(self, where: str) -> list[int]:
        spans = self._asked(
            "bus_partition, min(bus_offset) AS first, max(bus_offset) AS last", where, "GROUP BY bus_partition"
        )
        step = max(1, sum(row["last"] - row["first"] + 1 for row in spans) // _RANGES)
        counts: dict[int, int] = {}
        for row in self._asked(f"bus_partition, bus_offset / {step:d} AS range, count(*) AS n", where, "GROUP BY 1, 2"):
            first = place(row["bus_partition"], row["range"] * step)
            counts[first] = counts.get(first, 0) + row["n"]
        return cuts(sorted(counts.items()))

    def _asked(self, columns: str, where: str, after: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for table, visible in self._tables:
            with translated(f'lake table "{self._kind.value}" cannot be read'):
                answer = self._builder.execute(f"SELECT {columns} FROM {table} WHERE {where} AND {visible} {after}")
                found += pa.RecordBatchReader.from_stream(answer).read_all().to_pylist()
        return found

    def _batches(self, rows: pa.Table) -> list[Batch]:
        columns = {name: rows.column(name) for name in self._columns}
        for name in _TIMES:
            columns[name] = columns[name].cast(pa.int64())
        values: dict[str, list[Any]] = {name: column.to_pylist() for name, column in columns.items()}
        values["timestamp"] = [time_us * 1000 for time_us in values["timestamp"]]
        known: dict[str, dict[str, Any]] = {}  # attributes that several rows share are decoded once
        values["attributes"] = [
            known.get(text) or known.setdefault(text, _decode(text)) for text in values["attributes"]
        ]
        make = _ROWS[self._kind]
        for name in RESERVED_NAMES & {*make.__struct_fields__}:
            values[name] = [text or "" for text in values[name]]
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
