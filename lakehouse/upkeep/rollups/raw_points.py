"""Raw points for the rollups: table `metrics` of the lake, with what moved to the archive -> one relation, pinned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
from deltalake import QueryBuilder

from contracts.messages import Kind
from lakehouse.delta.schemas import SCHEMAS
from lakehouse.delta.table import Delta, translated
from lakehouse.lake.archive import ARCHIVE, MOVES, archive_url, visible_sql
from lakehouse.s3.store import writing_options
from lakehouse.sql.coverage import places
from lakehouse.upkeep.care import Care

MEMORY_MIB = 512

_NAME = Kind.METRICS.value


class RawPoints:
    """Pinned when made. Not thread-safe.

    Args:
        since_move: The archive is left out, and not needed, when no later move is finished.

    Attributes:
        landed: Next offset by bus partition: points before these are here, unless they were removed.
        moves: Moves to the archive that are finished.
        relation: To select from.

    Raises:
        StoreError: The lake, or the archive, cannot be read.
    """

    def __init__(self, care: Care, since_move: int = 0) -> None:
        warm = care.table(_NAME)
        self.landed = places(warm, Kind.METRICS)
        self.moves = warm.noted(MOVES) or 0
        self.builder = builder_of(warm)
        self.relation = _NAME
        if self.moves > since_move:  # the lake was pinned first: its number says what of the archive counts
            url = archive_url(care.settings)
            archive = Delta(url, _NAME, writing_options(url, care.settings), ARCHIVE, create=False)
            archive.register(self.builder, f"archived_{_NAME}")
            columns = ", ".join(SCHEMAS[_NAME].names)
            moved = f"SELECT {columns} FROM archived_{_NAME} WHERE {visible_sql(self.moves)}"
            self.relation = f"(SELECT {columns} FROM {_NAME} UNION ALL {moved}) AS points"


def builder_of(*tables: Delta) -> QueryBuilder:
    """These tables, as they are now, to be asked in bounded memory."""
    builder = QueryBuilder()
    with translated("query cannot be set up"):
        builder.execute(f"SET datafusion.runtime.memory_limit = '{MEMORY_MIB}M'")
    for table in tables:
        table.register(builder)
    return builder


def query(builder: QueryBuilder, sql: str) -> Iterator[dict[str, Any]]:
    """Run one SELECT.

    Raises:
        StoreError: It needed too much memory, or a file cannot be read.
    """
    with translated("points and windows cannot be read"):
        for batch in pa.RecordBatchReader.from_stream(builder.execute(sql)):
            yield from batch.to_pylist()
