"""Provenance: a record's id or bus position -> its row in lake or archive, with sender and pipeline version."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contracts.messages import Kind
from contracts.query import Position
from contracts.records import record_id
from lakehouse.delta.table import Delta
from lakehouse.lake.view import PinnedTable, View
from lakehouse.sql.literals import day_literal, text_literal
from lakehouse.upkeep.archive.moves import archive_table
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.pinned import pinned_rows

_ORIGIN = (
    "day, tenant, timestamp, observed_timestamp, producer, epoch, stream, sequence, "
    "bus_partition, bus_offset, bus_index, pipeline"
)
_PRUNED_BY = ("tenant", "timestamp", "observed_timestamp", "bus_partition", "bus_offset")


@dataclass(frozen=True, slots=True)
class Provenance:
    """One row and where it comes from.

    Attributes:
        tier: "lake" or "archive".
        version: Version of that tier's Delta table.
        files: Paths below the table of the files that may hold the row by their statistics; mostly one.
        row: Day, tenant, times, producer, epoch, stream, sequence, bus position, pipeline version.
    """

    id: str
    kind: Kind
    tier: str
    version: int
    files: Sequence[str]
    row: dict[str, Any]


def provenance(care: Care, kind: Kind, wanted: str | Position, tenant: str = "") -> Sequence[Provenance]:
    """The rows with an id or at a bus position. The search begins with the newest day and ends with the archive.

    Args:
        wanted: Id or bus position. An id is computed for every row, day by day, until it matches: 5 s for 2.5 million
            rows on two busy cores.
        tenant: "" means all tenants.

    Raises:
        StoreError: Lake or archive cannot be read.
    """
    condition = _of_id(wanted) if isinstance(wanted, str) else _at(wanted)
    if tenant:
        condition += f" AND tenant = {text_literal(tenant)}"
    for part in _parts(care, kind):
        table = part.table
        for day in sorted({file["partition.day"] for file in table.files()}, reverse=True):
            where = f"day = {day_literal(day)} AND {part.visible} AND {condition}"
            if found := pinned_rows(table, f"SELECT {_ORIGIN} FROM {table.name} WHERE {where}"):
                return [_provenance(kind, table, part.tier, row) for row in found]
    return ()


def _parts(care: Care, kind: Kind) -> Iterator[PinnedTable]:
    """The lake first. The archive is opened after the lake was searched, so an archive outage hides no lake row."""
    warm = care.table(kind.value)
    yield from View(warm).parts()
    yield from View.pin(warm, lambda: archive_table(care, kind)).archived()


def _of_id(wanted: str) -> str:
    """`contracts.records.record_id` in SQL."""
    parts = [
        f"replace(replace({name}, '%', '%25'), '/', '%2F')" if text else f"CAST({name} AS VARCHAR)"
        for name, text in (("tenant", 1), ("producer", 1), ("epoch", 0), ("stream", 1), ("sequence", 0))
    ]
    return f"md5(concat({', $/$, '.join(parts)})) = {text_literal(wanted.lower())}".replace("$/$", "'/'")


def _at(place: Position) -> str:
    return f"bus_partition = {place.partition:d} AND bus_offset = {place.offset:d} AND bus_index = {place.index:d}"


def _provenance(kind: Kind, table: Delta, tier: str, row: dict[str, Any]) -> Provenance:
    identity = (row["tenant"], row["producer"], row["epoch"], row["stream"], row["sequence"])
    files = [file["path"] for file in table.files() if file["partition.day"] == row["day"] and _may_hold(file, row)]
    return Provenance(record_id(*identity), kind, tier, table.version, files, row)


def _may_hold(file: dict[str, Any], row: dict[str, Any]) -> bool:
    for name in _PRUNED_BY:
        least, most = file.get(f"min.{name}"), file.get(f"max.{name}")
        if (
            least is not None
            and most is not None
            and not _comparable(least) <= _comparable(row[name]) <= _comparable(most)
        ):
            return False
    return True


def _comparable(value: Any) -> Any:
    return value.replace(tzinfo=dt.UTC) if isinstance(value, dt.datetime) else value
