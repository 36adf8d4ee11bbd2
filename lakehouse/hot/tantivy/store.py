"""The embedded hot store: one Tantivy index per kind and arrival day under a folder.

Exactly once visible: rows and the checkpoint of their bus partition are one commit (`DayWriter.commit`). One writer
per kind, any number of readers in any process. A query that reads for longer than HEADWATER_QUERY_TIMEOUT_S fails.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tantivy import FieldType, Query

from contracts.batches import IMPORTED
from contracts.errors import StoreError
from contracts.hot import LINES, Found, HotArrival, HotDay, HotRebuild, HotWriter
from contracts.messages import Kind
from contracts.query import Node, Position, RecordQuery
from contracts.settings import Settings
from contracts.tenants import Tenant
from lakehouse.hot.tantivy.block import Hit
from lakehouse.hot.tantivy.clause import any_of, integers, tenant_query, time_query
from lakehouse.hot.tantivy.day import Formats
from lakehouse.hot.tantivy.folder import DayIndex, KindFolder
from lakehouse.hot.tantivy.query import build
from lakehouse.hot.tantivy.reader import DayReader, DayReaders, Filter
from lakehouse.hot.tantivy.rebuild import TantivyHotRebuild, rebuilt_ns
from lakehouse.hot.tantivy.schema import OFFSETS, PARTITIONS, pack, unpack
from lakehouse.hot.tantivy.writer import TantivyHotWriter
from lakehouse.match import matcher

KINDS = (Kind.LOGS, Kind.METRICS, Kind.EVENTS)
_PARTITION = OFFSETS * LINES  # packed positions of a bus partition
_SWITCHES = 3  # of the index of a day, while it is being opened


class TantivyHotStore:
    """See `contracts.hot.HotStore`."""

    def __init__(self, path: str | os.PathLike[str], settings: Settings) -> None:
        self._settings = settings
        self._folders = {kind: KindFolder(Path(path), kind) for kind in KINDS}
        self._readers = {kind: DayReaders() for kind in KINDS}
        self._formats = Formats()

    def writer(self, kind: Kind) -> HotWriter:
        return TantivyHotWriter(self._folder(kind), kind, self._settings)

    def rebuilder(self, kind: Kind, day: dt.date) -> HotRebuild:
        return TantivyHotRebuild(self._folder(kind), kind, day, self._settings)

    def days(self, kind: Kind) -> Sequence[dt.date]:
        return [index.day for index, trusted in self._held(kind) if trusted]

    def held(self, kind: Kind) -> Sequence[HotDay]:
        return [
            HotDay(index.day, _size_bytes(index.path), trusted, rebuilt_ns(index.path))
            for index, trusted in self._held(kind)
        ]

    def _held(self, kind: Kind) -> list[tuple[DayIndex, bool]]:
        """Every index of a day, and whether it answers for the day."""
        folder = self._folder(kind)
        progress = folder.read_progress()
        indexes = folder.indexes().values()
        return [(index, progress.trusts(index) and self._formats.is_ours(index.path)) for index in indexes]

    def dropped(self, kind: Kind) -> Sequence[dt.date]:
        return self._folder(kind).dropped()

    def checkpoints(self, kind: Kind) -> Mapping[int, int]:
        return self._folder(kind).read_progress().checkpoints

    def search(self, tenant: Tenant, query: RecordQuery, days: Sequence[dt.date]) -> Sequence[Found]:
        wanted = self._filter(tenant, query.kind, query.where, query.start_ns, query.end_ns)
        pages = [reader.page(wanted, query) for reader in self._day_readers(query.kind, days)]
        merged = heapq.merge(*pages, key=lambda hit: hit.place, reverse=query.newest_first)
        return [hit.found(query.kind, tenant) for hit in itertools.islice(merged, query.limit)]

    def count(
        self, tenant: Tenant, kind: Kind, where: Node, start_ns: int | None, end_ns: int | None, days: Sequence[dt.date]
    ) -> int:
        wanted = self._filter(tenant, kind, where, start_ns, end_ns)
        return sum(1 for reader in self._day_readers(kind, days) for _ in reader.all(wanted))

    def tail(
        self,
        tenant: Tenant,
        kind: Kind,
        where: Node,
        start_ns: int | None,
        end_ns: int | None,
        after: Mapping[int, int],
        limit: int,
    ) -> Sequence[Found]:
        wanted = self._filter(tenant, kind, where, start_ns, end_ns)
        # Days that are not trusted count here: what the lake lacks is a matter of offsets, not of days.
        days = [index.day for index, _ in self._held(kind) if self._formats.is_ours(index.path)]
        readers = self._day_readers(kind, days)
        hits = itertools.chain.from_iterable(reader.all(wanted, _past(after)) for reader in readers)
        past = (hit for hit in hits if _is_past(unpack(hit.place[1]), after))
        return [hit.found(kind, tenant) for hit in itertools.islice(past, limit)]

    def arrivals(
        self, tenant: Tenant, kind: Kind, where: Node, start: Mapping[int, int], end: Mapping[int, int], limit: int
    ) -> Sequence[HotArrival]:
        wanted = self._filter(tenant, kind, where, None, None)
        ranges = _ranges(start, end)
        if not ranges:
            return []
        days = [index.day for index, _ in self._held(kind) if self._formats.is_ours(index.path)]
        blocks = any_of(integers("last_position", low, high, FieldType.Unsigned) for low, _, high in ranges)
        hits = itertools.chain.from_iterable(reader.all(wanted, blocks) for reader in self._day_readers(kind, days))
        inside = (hit for hit in hits if any(low <= hit.place[1] < end for low, end, _ in ranges))
        # A block does not say where it begins, so that all blocks are read, and the first rows are kept.
        first = heapq.nsmallest(limit, inside, key=_position)
        return [HotArrival(hit.place[1] // _PARTITION, hit.place[1] % _PARTITION, hit.record(tenant)) for hit in first]

    def _filter(self, tenant: Tenant, kind: Kind, where: Node, start_ns: int | None, end_ns: int | None) -> Filter:
        blocks = (tenant_query(tenant), time_query(start_ns, end_ns), build(where, kind))
        ends = time.monotonic() + self._settings.query_timeout_s
        return Filter(kind, blocks, matcher(where, kind), start_ns, end_ns, ends)

    def drop_day(self, kind: Kind, day: dt.date) -> None:
        self._folder(kind).drop(day)

    def forget(self, kind: Kind, day: dt.date) -> None:
        self._folder(kind).forget(day)

    def size_bytes(self, kind: Kind, day: dt.date) -> int:
        index = self._folder(kind).index(day)
        return 0 if index is None else _size_bytes(index.path)

    def close(self) -> None:
        for readers in self._readers.values():
            readers.keep(())

    def _folder(self, kind: Kind) -> KindFolder:
        if kind not in self._folders:
            raise StoreError(f"the hot store does not hold {kind.value}", hint="they are in the lake only")
        return self._folders[kind]

    def _day_readers(self, kind: Kind, days: Sequence[dt.date]) -> list[DayReader]:
        folder, readers = self._folder(kind), self._readers[kind]
        indexes = folder.indexes()
        readers.keep([index.path for index in indexes.values()])
        return [self._day_reader(kind, day, indexes.get(day)) for day in sorted(set(days))]

    def _day_reader(self, kind: Kind, day: dt.date, index: DayIndex | None) -> DayReader:
        """A rebuild may put another index in the place of the one that was found: then that one is read."""
        folder, readers = self._folder(kind), self._readers[kind]
        for _ in range(_SWITCHES):
            path = folder.day_path(day) if index is None else index.path
            try:
                return readers.reader(path)
            except StoreError:
                index, before = folder.index(day), index
                if index == before:
                    raise
        return readers.reader(folder.day_path(day) if index is None else index.path)


def _ranges(start: Mapping[int, int], end: Mapping[int, int]) -> list[tuple[int, int, int]]:
    """Packed positions of each partition: the first one, the one after the last, and the last of the partition."""
    return [
        (
            partition * _PARTITION + start.get(partition, 0),
            partition * _PARTITION + place,
            (partition + 1) * _PARTITION - 1,
        )
        for partition, place in end.items()
        if start.get(partition, 0) < place and partition != IMPORTED
    ]


def _position(hit: Hit) -> int:
    return hit.place[1]


def _size_bytes(path: Path) -> int:
    try:
        return sum(entry.stat().st_size for entry in os.scandir(path))
    except FileNotFoundError:  # dropped, or a segment was merged away while looking
        return sum(file.stat().st_size for file in path.glob("*") if file.exists())


def _past(after: Mapping[int, int]) -> Query:
    """Blocks with a position at or past the next-offset of their partition; of partitions not named, all."""
    ranges, start = [], 0
    after = {IMPORTED: OFFSETS - 1, **after}
    for partition, offset in sorted(after.items()):
        if start < partition:
            ranges.append((pack(Position(start, 0, 0)), pack(Position(partition, 0, 0)) - 1))
        end = pack(Position(partition + 1, 0, 0)) - 1 if partition + 1 < PARTITIONS else (1 << 64) - 1
        ranges.append((pack(Position(partition, offset, 0)), end))
        start = partition + 1
    if start < PARTITIONS:
        ranges.append((pack(Position(start, 0, 0)), (1 << 64) - 1))
    return any_of(integers("last_position", low, high, FieldType.Unsigned) for low, high in ranges)


def _is_past(place: Position, after: Mapping[int, int]) -> bool:
    if place.partition == IMPORTED:  # a rebuild brought it here, from the lake
        return False
    return place.offset >= after.get(place.partition, 0)
