"""Committed indexes of one kind -> pages, counts and tails. Thread-safe; sees a commit as soon as it is made."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tantivy
from tantivy import FieldType, Order, Query

from contracts.hot import Found
from contracts.messages import Kind
from contracts.query import RecordQuery
from contracts.tenants import Tenant
from lakehouse.hot_clause import all_of, integers
from lakehouse.hot_day import check_format, engine_errors
from lakehouse.hot_document import found
from lakehouse.hot_schema import pack

_LAST = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that was found and not yet read."""

    timestamp_ns: int
    packed: int
    day: DayReader
    address: tantivy.DocAddress

    @property
    def place(self) -> tuple[int, int]:
        return self.timestamp_ns, self.packed

    def found(self, kind: Kind, tenant: Tenant) -> Found:
        """Read it.

        Raises:
            StoreError: The index is damaged.
        """
        with engine_errors(self.day.path):
            document = self.day.searcher.doc(self.address)
            return found(kind, tenant, self.timestamp_ns, self.packed, document)


@dataclass(frozen=True, slots=True)
class DayReader:
    """One committed state of the index of a day. Every method raises StoreError when it is damaged."""

    path: Path
    searcher: tantivy.Searcher

    def page(self, base: Sequence[Query], query: RecordQuery) -> list[Hit]:
        """Up to `query.limit` hits after `query.after` in order of (timestamp, position).

        The engine sorts by one field. Ties are resolved by asking for one timestamp, sorted by position: once for
        those of the cursor, once for those at the end of the page.
        """
        hits: list[Hit] = []
        low = high = None
        if (after := query.after) is not None:
            hits = self._of_time(base, query, after.timestamp_ns, query.limit, pack(after.position))
            low, high = (None, after.timestamp_ns - 1) if query.newest_first else (after.timestamp_ns + 1, None)
        if (room := query.limit - len(hits)) == 0:
            return hits
        rest = self._by_time([*base, integers("timestamp_ns", low, high)], query.newest_first, room)
        if len(rest) == room:
            last = rest[-1].timestamp_ns
            rest = [hit for hit in rest if hit.timestamp_ns != last]
            rest += self._of_time(base, query, last, room - len(rest), None)
        return hits + sorted(rest, key=lambda hit: hit.place, reverse=query.newest_first)

    def count(self, clauses: Sequence[Query]) -> int:
        with engine_errors(self.path):
            result = self.searcher.search(all_of(clauses), 1, count=True)
            return int(result.count)  # type: ignore[attr-defined]  # the library's stub leaves it out

    def tail(self, clauses: Sequence[Query], limit: int) -> list[Hit]:
        """Up to `limit` hits in no order."""
        return self._by_time(clauses, newest_first=True, limit=limit)

    def _by_time(self, clauses: Sequence[Query], newest_first: bool, limit: int) -> list[Hit]:
        hits = self._sorted_by("timestamp_ns", clauses, newest_first, limit)
        with engine_errors(self.path):
            positions = self.searcher.fast_field_values("position", [address for _, address in hits])
        return [
            Hit(time_ns, int(packed or 0), self, address)
            for (time_ns, address), packed in zip(hits, positions, strict=True)
        ]

    def _of_time(
        self, base: Sequence[Query], query: RecordQuery, time_ns: int, limit: int, after: int | None
    ) -> list[Hit]:
        """Hits of one timestamp by position, those after the position `after`."""
        clauses = [*base, integers("timestamp_ns", time_ns, time_ns)]
        if after is not None:
            low, high = (0, after - 1) if query.newest_first else (after + 1, _LAST)
            if low > high:
                return []
            clauses.append(integers("position", low, high, FieldType.Unsigned))
        hits = self._sorted_by("position", clauses, query.newest_first, limit)
        return [Hit(time_ns, packed, self, address) for packed, address in hits]

    def _sorted_by(
        self, field: str, clauses: Sequence[Query], descending: bool, limit: int
    ) -> list[tuple[int, tantivy.DocAddress]]:
        order = Order.Desc if descending else Order.Asc
        with engine_errors(self.path):
            hits = self.searcher.search(all_of(clauses), limit, count=False, order_by_field=field, order=order).hits
        return [(int(value), address) for value, address in hits]


class DayReaders:
    """Opened indexes of a kind, reopened when their files say that a commit was made. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Path, tuple[tuple[int, int, int], tantivy.Index, DayReader]] = {}

    def reader(self, path: Path) -> DayReader:
        """The newest committed state of the index at `path`.

        Raises:
            StoreError: It cannot be read, or is gone.
        """
        with self._lock, engine_errors(path):
            return self._newest(path)

    def _newest(self, path: Path) -> DayReader:
        state = (path / "meta.json").stat()
        version = (state.st_mtime_ns, state.st_ino, state.st_size)
        known = self._open.pop(path, None)
        if known is None:
            index = tantivy.Index.open(str(path))
            check_format(index, path)
            index.config_reader("manual")
        elif known[0] == version:
            self._open[path] = known
            return known[2]
        else:
            index = known[1]
        index.reload()
        reader = DayReader(path, index.searcher())
        self._open[path] = (version, index, reader)
        return reader

    def keep(self, paths: Sequence[Path]) -> None:
        """Let go of all others."""
        with self._lock:
            for path in self._open.keys() - set(paths):
                del self._open[path]
