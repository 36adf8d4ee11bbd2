"""Layout of a table's files: table name and tier -> schema, partitions, Parquet settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from deltalake import BloomFilterProperties, ColumnProperties, WriterProperties

from lakehouse.delta.schemas import SCHEMAS, statistics_columns

ROW_GROUP_ROWS = 131_072
_BINARY_PACKED = (
    "timestamp",
    "observed_timestamp",
    "sequence",
    "bus_offset",
    "bus_index",
    "first_offset",
    "next_offset",
)
_NO_DICTIONARY = ("body", "payload")
Encoding = Literal["DELTA_BINARY_PACKED", "DELTA_BYTE_ARRAY"]
_FALSE_FINDS = 0.01  # rate of false positives of the Bloom filter of trace ids


def _pruned(name: str) -> list[str]:
    # Only columns that reads prune by: statistics of the others would cost a third of the whole write.
    return [*statistics_columns(name), "severity_number", "trace_id"]


def _column_properties(name: str, column: str, layout: Layout) -> ColumnProperties:
    return ColumnProperties(
        dictionary_enabled=column not in _BINARY_PACKED and column not in _NO_DICTIONARY,
        encoding=layout.encoding(column),
        statistics_enabled="PAGE" if column in _pruned(name) else "NONE",
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """Layout of the tables of one tier.

    Attributes:
        partition_by: Columns that partition the table.
        more: Additional columns after those of `SCHEMAS`.
        compression_level: Level of zstd.
        tier: Name of the tier, for messages.
        shares_starts: True: long text is delta-encoded, without the prefix that it shares with the text before.
        page_bytes: Size of a page before compression; a page is the unit of reading and unpacking.
        group_rows: Rows of a full row group.
    """

    partition_by: tuple[str, ...] = ("day",)
    more: tuple[tuple[str, pa.DataType], ...] = ()
    compression_level: int = 1
    tier: str = "lake"
    shares_starts: bool = False
    page_bytes: int = 1 << 20
    group_rows: int = ROW_GROUP_ROWS

    def schema(self, name: str) -> pa.Schema:
        return pa.schema([*SCHEMAS[name], *(pa.field(column, dtype) for column, dtype in self.more)])

    def encoding(self, column: str) -> Encoding | None:
        """Encoding of a column without a dictionary; None is plain."""
        if column in _BINARY_PACKED:
            return "DELTA_BINARY_PACKED"
        return "DELTA_BYTE_ARRAY" if self.shares_starts and column in _NO_DICTIONARY else None


WARM = Layout()


def writer_properties(name: str, rows: int, trace_ids: int = 0, layout: Layout = WARM) -> WriterProperties:
    """Parquet settings of table `name` for a file of `rows` rows, `trace_ids` of them distinct."""
    columns = {column: _column_properties(name, column, layout) for column in SCHEMAS[name].names}
    if trace_ids:  # sized by the number of trace ids: a full-size filter is larger than a small file
        bloom = BloomFilterProperties(True, _FALSE_FINDS, min(trace_ids, ROW_GROUP_ROWS))
        columns["trace_id"] = ColumnProperties(dictionary_enabled=False, bloom_filter_properties=bloom)
    return WriterProperties(
        compression="ZSTD",
        compression_level=layout.compression_level,
        max_row_group_size=min(ROW_GROUP_ROWS, max(rows, 1)),
        column_properties=columns,
    )


def parquet_options(name: str, columns: Sequence[str], trace_ids: int, layout: Layout) -> dict[str, Any]:
    """The same settings for pyarrow's writer of a file with `columns`."""
    bare = {column for column in columns if column in _BINARY_PACKED or column in _NO_DICTIONARY}
    bare |= {"trace_id"} if trace_ids else set()
    filters = {"trace_id": {"ndv": min(trace_ids, layout.group_rows), "fpp": _FALSE_FINDS}} if trace_ids else None
    return {
        "compression": "zstd",
        "compression_level": layout.compression_level,
        "use_dictionary": [column for column in columns if column not in bare],
        "column_encoding": {column: found for column in bare if (found := layout.encoding(column))},
        "write_statistics": [column for column in _pruned(name) if column in columns],
        "write_page_index": True,
        "data_page_size": layout.page_bytes,
        "bloom_filter_options": filters,
        "store_schema": False,  # else readers would get the writer's dictionary types
    }
