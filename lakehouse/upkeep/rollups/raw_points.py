"""Raw points: table `metrics` of the lake, with the rows that moved to the archive -> one relation, pinned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from deltalake import QueryBuilder

from contracts.messages import Kind
from lakehouse.delta.schemas import SCHEMAS
from lakehouse.delta.table import Delta, translated
from lakehouse.lake.archive import open_archive
from lakehouse.lake.view import View, bounded
from lakehouse.sql.coverage import places
from lakehouse.upkeep.care import Care

MEMORY_MIB = 512

_NAME = Kind.METRICS.value


class RawPoints:
    """Raw points, pinned at creation. Not thread-safe.

    Args:
        since_move: The archive is not opened if no later move is finished.

    Attributes:
        landed: Next offset by bus partition: all earlier points are here, unless they were removed.
        moves: Number of the last finished move to the archive.
        relation: Name or subquery for FROM.

    Raises:
        StoreError: The lake, or the archive, cannot be read.
    """

    def __init__(self, care: Care, since_move: int = 0) -> None:
        warm = care.table(_NAME)
        self.landed = places(warm, Kind.METRICS)
        view = View.pin(warm, lambda: open_archive(care.settings, Kind.METRICS, writing=True), since_move)
        self.moves = view.moves
        self.builder = bounded(MEMORY_MIB)
        view.register(self.builder)
        self.relation = _NAME if view.archive is None else view.rows_sql(", ".join(SCHEMAS[_NAME].names))


def builder_of(*tables: Delta) -> QueryBuilder:
    """A query builder over the tables' current versions, with bounded memory."""
    builder = bounded(MEMORY_MIB)
    for table in tables:
        table.register(builder)
    return builder


def query(builder: QueryBuilder, sql: str) -> Iterator[dict[str, Any]]:
    """Run one SELECT.

    Raises:
        StoreError: The query needed too much memory, or a file cannot be read.
    """
    with translated("points and windows cannot be read"):
        for batch in pa.RecordBatchReader.from_stream(builder.execute(sql)):
            yield from batch.to_pylist()
