"""How the files of a table are laid out: table name and tier -> schema, partitions, Parquet settings."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
from deltalake import BloomFilterProperties, ColumnProperties, WriterProperties

from lakehouse.tables import SCHEMAS, statistics_columns

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


def _column_properties(name: str, column: str) -> ColumnProperties:
    # Minima and maxima of columns that no read prunes by cost a third of the whole write.
    pruned = [*statistics_columns(name), "severity_number", "trace_id"]
    packed = column in _BINARY_PACKED
    return ColumnProperties(
        dictionary_enabled=not packed and column not in _NO_DICTIONARY,
        encoding="DELTA_BINARY_PACKED" if packed else None,
        statistics_enabled="PAGE" if column in pruned else "NONE",
    )


@dataclass(frozen=True, slots=True)
class Layout:
    """How the tables of one tier are laid out.

    Attributes:
        partition_by: Columns.
        more: Columns beside those of `SCHEMAS`, at the end.
        compression_level: Of zstd.
        tier: Its name, for messages.
    """

    partition_by: tuple[str, ...] = ("day",)
    more: tuple[tuple[str, pa.DataType], ...] = ()
    compression_level: int = 1
    tier: str = "lake"

    def schema(self, name: str) -> pa.Schema:
        return pa.schema([*SCHEMAS[name], *(pa.field(column, dtype) for column, dtype in self.more)])


WARM = Layout()


def writer_properties(name: str, rows: int, trace_ids: int = 0, compression_level: int = 1) -> WriterProperties:
    """Parquet settings of table `name` for a file of `rows` rows, `trace_ids` of them distinct."""
    columns = {column: _column_properties(name, column) for column in SCHEMAS[name].names}
    if trace_ids:  # sized by what is there: a full-size filter weighs more than a small file
        bloom = BloomFilterProperties(True, 0.01, min(trace_ids, ROW_GROUP_ROWS))
        columns["trace_id"] = ColumnProperties(dictionary_enabled=False, bloom_filter_properties=bloom)
    return WriterProperties(
        compression="ZSTD",
        compression_level=compression_level,
        max_row_group_size=min(ROW_GROUP_ROWS, max(rows, 1)),
        column_properties=columns,
    )
