"""Ordering: one day of a table in any order -> its rows sorted by (tenant, service, timestamp), in bounded memory.

The day is read once and dealt out to files of disjoint ranges of the order, of about `RANGE_ROWS` rows each; then each
file is sorted by itself. A sort that spills its runs and merges them costs twice as much. Not handled: a service that
has millions of rows of one and the same microsecond makes one large range.
"""

from __future__ import annotations

import bisect
import datetime as dt
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import QueryBuilder

from lakehouse.delta import Delta
from lakehouse.lake_literals import text_literal
from lakehouse.tables import FEW_VALUES, SORTED_BY, sort_key

RANGE_ROWS = 65_536
DEALT_ROWS = 32_768  # rows that are dealt out at once
SAMPLED_ROWS = 1_000_000  # of a service's times, to divide it evenly
QUERY_MIB = 128
WITHIN_EQUALS = ("bus_partition", "bus_offset", "bus_index")

_SEPARATOR = "\x1f"

Group = tuple[str, ...]


class Day:
    """One day of the version that `table` is at, pinned.

    Attributes:
        where: Its rows, as a condition.
    """

    def __init__(self, table: Delta, day: dt.date) -> None:
        self._name, self._schema = table.name, table.schema
        self.where = f"day = DATE '{day.isoformat()}'"
        self._keys = [name for name in SORTED_BY[:2] if name in table.schema.names]
        self._timed = SORTED_BY[2] in table.schema.names
        self._builder = QueryBuilder({"datafusion.execution.target_partitions": "2"})
        self._builder.execute(f"SET datafusion.runtime.memory_limit = '{QUERY_MIB}M'")
        table.register(self._builder)

    def read(self, what: str, where: str = "TRUE", rest: str = "") -> pa.RecordBatchReader:
        sql = f"SELECT {what} FROM {self._name} WHERE {self.where} AND {where} {rest}"
        return pa.RecordBatchReader.from_stream(self._builder.execute(sql))

    def ask(self, sql: str) -> list[dict[str, Any]]:
        """Few rows."""
        return pa.RecordBatchReader.from_stream(self._builder.execute(sql)).read_all().to_pylist()

    def sorted(self) -> Iterator[pa.RecordBatch]:
        """Its rows in order, equal keys in bus order; text with few values dictionary-encoded."""
        ranges = self._ranges()
        with tempfile.TemporaryDirectory(prefix="headwater-compaction-") as folder:
            self._deal(ranges, Path(folder))
            for number in range(ranges.count):
                path = Path(folder) / str(number)
                if path.exists():
                    yield from _sorted_file(path, self._keys)
                    path.unlink()

    def _ranges(self) -> Ranges:
        keys = ", ".join(self._keys)
        counted = self.read(f"{keys}, count(*) AS n", rest=f"GROUP BY {keys} ORDER BY {keys}").read_all().to_pylist()
        ranges = Ranges()
        for row in counted:
            group = tuple(row[key] for key in self._keys)
            large = self._timed and row["n"] > RANGE_ROWS
            ranges.add(group, row["n"], self._cuts(group, row["n"]) if large else ())
        return ranges

    def _cuts(self, group: Group, rows: int) -> Sequence[Any]:
        """Times that divide a large group into ranges."""
        step = max(1, rows // SAMPLED_ROWS)
        where = " AND ".join(f"{key} = {text_literal(value)}" for key, value in zip(self._keys, group, strict=True))
        sampled = [batch.column(0)[::step] for batch in self.read(SORTED_BY[2], where)]
        times = pa.concat_arrays(sampled).cast(pa.int64())
        times = times.take(pc.sort_indices(times))
        wanted = -(-rows // RANGE_ROWS)
        return sorted({times[len(times) * part // wanted].as_py() for part in range(1, wanted)})

    def _deal(self, ranges: Ranges, folder: Path) -> None:
        with ExitStack() as stack:
            writers: dict[int, pa.RecordBatchStreamWriter] = {}
            for rows in _collected(self.read("*"), self._schema):
                for number, part in self._divided(rows, ranges):
                    if number not in writers:
                        options = pa.ipc.IpcWriteOptions(compression="lz4")
                        made = pa.ipc.new_stream(str(folder / str(number)), part.schema, options=options)
                        writers[number] = stack.enter_context(made)
                    writers[number].write_table(part)

    def _divided(self, rows: pa.Table, ranges: Ranges) -> Iterator[tuple[int, pa.Table]]:
        names = pc.binary_join_element_wise(
            *[rows.column(key).cast(pa.string()) for key in self._keys], _SEPARATOR  # type: ignore[call-overload]  # stubs
        )
        times = rows.column(SORTED_BY[2]).cast(pa.int64()) if self._timed else None
        numbers = ranges.of(names.combine_chunks(), times.combine_chunks() if times is not None else None)
        order = pc.sort_indices(numbers)
        dealt, first = rows.take(order), 0
        counts = pc.value_counts(numbers)
        values: tuple[Sequence[Any], Sequence[Any]] = (counts.field(0).to_pylist(), counts.field(1).to_pylist())
        found = zip(*values, strict=True)
        for number, count in sorted(found):
            yield number, dealt.slice(first, count)
            first += count


class Ranges:
    """Disjoint ranges of the order: several small groups, or a piece of a large one. Groups are added in order."""

    def __init__(self) -> None:
        self.count = 0
        self._room = 0  # in the newest range
        self._names: list[str] = []
        self._first: list[int] = []
        self._cuts: list[tuple[int, Sequence[int]]] = []  # position of a group, times

    def add(self, group: Group, rows: int, cuts: Sequence[int]) -> None:
        if cuts or rows > self._room:
            self.count, self._room = self.count + 1, RANGE_ROWS
        if cuts:
            self._cuts.append((len(self._names), cuts))
        self._names.append(_SEPARATOR.join(group))
        self._first.append(self.count - 1)
        self.count += len(cuts)
        self._room = 0 if cuts else self._room - rows

    def of(self, names: pa.Array[Any], times: pa.Array[Any] | None) -> pa.Array[Any]:
        """The range of each row."""
        places = pc.index_in(names, value_set=pa.array(self._names, pa.string()))
        numbers: pa.Array[Any] = pa.array(self._first, pa.int32()).take(places)
        if times is None:
            return numbers
        least, most = pc.min(times).as_py(), pc.max(times).as_py()
        for place, cuts in self._cuts:
            before = bisect.bisect_right(cuts, least)
            here = pc.equal(places, pa.scalar(place, pa.int32()))
            if before:
                numbers = pc.add(numbers, pc.if_else(here, pa.scalar(before, pa.int32()), pa.scalar(0, pa.int32())))
            for cut in cuts[before : bisect.bisect_right(cuts, most)]:
                numbers = pc.add(
                    numbers, pc.and_(here, pc.greater_equal(times, pa.scalar(cut, pa.int64()))).cast(pa.int32())
                )
        return numbers


def _collected(reader: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.Table]:
    """The batches of a query, some at a time, as tables of one chunk with few-valued text dictionary-encoded."""
    held: list[pa.RecordBatch] = []
    for batch in reader:
        held.append(batch)
        if sum(map(len, held)) >= DEALT_ROWS:
            yield _encoded(pa.Table.from_batches(held), schema)
            held = []
    if held:
        yield _encoded(pa.Table.from_batches(held), schema)


def _encoded(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    rows = rows.select(schema.names).cast(schema).combine_chunks()
    for place, name in enumerate(schema.names):
        if name in FEW_VALUES:
            rows = rows.set_column(place, name, rows.column(name).dictionary_encode())
    return rows


def _sorted_file(path: Path, keys: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with path.open("rb") as file, pa.ipc.open_stream(file) as reader:
        rows = reader.read_all().unify_dictionaries().combine_chunks()
    names = [*keys, *(name for name in (SORTED_BY[2], *WITHIN_EQUALS) if name in rows.column_names)]
    by = {name: sort_key(rows.column(name)) for name in names}
    varying = [name for name, column in by.items() if not _constant(column)]
    if varying:
        table = pa.table({name: by[name] for name in varying})
        rows = rows.take(pc.sort_indices(table, sort_keys=[(name, "ascending") for name in varying]))
    yield from rows.combine_chunks().to_batches()


def _constant(column: pa.Array[Any]) -> bool:
    bounds = pc.min_max(column)
    return bool(bounds["min"] == bounds["max"])
