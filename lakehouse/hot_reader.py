"""Committed indexes of one kind -> pages, counts and tails. Thread-safe; sees a commit as soon as it is made."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tantivy
from tantivy import FieldType, Order, Query

from contracts.query import RecordQuery
from lakehouse.hot_day import day_error
from lakehouse.hot_query import all_of, integers
from lakehouse.hot_schema import pack

_LAST = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Hit:
    """A record that was found and not yet read."""

    timestamp_ns: int
    packed: int
    searcher: tantivy.Searcher
    address: tantivy.DocAddress

    @property
    def place(self) -> tuple[int, int]:
        return self.timestamp_ns, self.packed

    def document(self) -> tantivy.Document:
        return self.searcher.doc(self.address)


class DayReaders:
    """Opened indexes of a kind, reopened when their files say that a commit was made."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Path, tuple[tuple[int, int, int], tantivy.Index, tantivy.Searcher]] = {}

    def searcher(self, path: Path) -> tantivy.Searcher:
        """The newest committed state of the index at `path`.

        Raises:
            StoreError: It cannot be read, or is gone.
        """
        try:
            with self._lock:
                return self._searcher(path)
        except (ValueError, OSError) as error:
            raise day_error(path, error) from error

    def _searcher(self, path: Path) -> tantivy.Searcher:
        state = (path / "meta.json").stat()
        version = (state.st_mtime_ns, state.st_ino, state.st_size)
        known = self._open.get(path)
        if known is not None and known[0] == version:
            return known[2]
        if known is None:
            index = tantivy.Index.open(str(path))
            index.config_reader("manual")
        else:
            index = known[1]
        index.reload()
        self._open[path] = (version, index, index.searcher())
        return self._open[path][2]

    def keep(self, paths: Sequence[Path]) -> None:
        """Let go of all others."""
        with self._lock:
            for path in self._open.keys() - set(paths):
                del self._open[path]


def page(searcher: tantivy.Searcher, base: Sequence[Query], query: RecordQuery) -> list[Hit]:
    """Up to `query.limit` hits after `query.after` in order of (timestamp, position).

    The engine sorts by one field. Ties are resolved by asking for one timestamp, sorted by position: once for those
    of the cursor, once for those at the end of the page.
    """
    hits: list[Hit] = []
    low = high = None
    after = query.after
    if after is not None:
        hits = _of_time(searcher, base, query, after.timestamp_ns, query.limit, pack(after.position))
        low, high = (None, after.timestamp_ns - 1) if query.newest_first else (after.timestamp_ns + 1, None)
    room = query.limit - len(hits)
    if room == 0:
        return hits
    rest = _by_time(searcher, [*base, integers("timestamp_ns", low, high)], query.newest_first, room)
    if len(rest) == room:
        last = rest[-1].timestamp_ns
        rest = [hit for hit in rest if hit.timestamp_ns != last]
        rest += _of_time(searcher, base, query, last, room - len(rest), None)
    return hits + sorted(rest, key=lambda hit: hit.place, reverse=query.newest_first)


def _by_time(searcher: tantivy.Searcher, clauses: Sequence[Query], newest_first: bool, limit: int) -> list[Hit]:
    order = Order.Desc if newest_first else Order.Asc
    found = searcher.search(all_of(clauses), limit, count=False, order_by_field="timestamp_ns", order=order).hits
    addresses = [address for _, address in found]
    positions = searcher.fast_field_values("position", addresses)
    return [
        Hit(int(time), int(packed or 0), searcher, address)
        for (time, address), packed in zip(found, positions, strict=True)
    ]


def _of_time(
    searcher: tantivy.Searcher,
    base: Sequence[Query],
    query: RecordQuery,
    time_ns: int,
    limit: int,
    after: int | None,
) -> list[Hit]:
    """Hits of one timestamp by position, those after the position `after`."""
    low, high = 0, _LAST
    if after is not None:
        low, high = (0, after - 1) if query.newest_first else (after + 1, _LAST)
    clauses = [*base, integers("timestamp_ns", time_ns, time_ns)]
    if after is not None:
        if not 0 <= low <= high <= _LAST:
            return []
        clauses.append(integers("position", low, high, FieldType.Unsigned))
    order = Order.Desc if query.newest_first else Order.Asc
    found = searcher.search(all_of(clauses), limit, count=False, order_by_field="position", order=order).hits
    return [Hit(time_ns, int(packed), searcher, address) for packed, address in found]


def count(searcher: tantivy.Searcher, clauses: Sequence[Query]) -> int:
    result = searcher.search(all_of(clauses), 1, count=True)
    return int(result.count)  # type: ignore[attr-defined]  # the library's stub leaves it out


def tail(searcher: tantivy.Searcher, clauses: Sequence[Query], limit: int) -> list[Hit]:
    """Up to `limit` hits in no order."""
    return _by_time(searcher, clauses, newest_first=True, limit=limit)
