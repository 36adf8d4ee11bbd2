"""Committed indexes of one kind -> pages, counts and tails. Thread-safe; sees a commit as soon as it is made.

The index names blocks that may hold what is asked for; they are read in order of time until the page is full.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import tantivy
from tantivy import Order, Query

from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.query import Cursor, RecordQuery
from lakehouse.hot.tantivy.block import Hit, rows_of
from lakehouse.hot.tantivy.clause import all_of, integers
from lakehouse.hot.tantivy.day import check_format, engine_errors
from lakehouse.hot.tantivy.schema import pack
from lakehouse.match import Match

_FIRST_BLOCKS, _MOST_BLOCKS = 8, 1024  # asked for at once; doubled while a page is not full


@dataclass(frozen=True, slots=True)
class Filter:
    """What is asked for.

    Attributes:
        blocks: Leave out blocks that cannot match.
        matches: Decides by row, event time aside.
        start_ns, end_ns: Event time, inclusive and exclusive; None is open.
        ends: When to give up, by `time.monotonic`.
    """

    kind: Kind
    blocks: tuple[Query, ...]
    matches: Match
    start_ns: int | None
    end_ns: int | None
    ends: float

    def hits(self, source: bytes) -> Iterator[Hit]:
        """The rows of a stored block that match."""
        if time.monotonic() > self.ends:
            raise StoreError("a query of the hot store took too long", hint="ask for a shorter time or rarer words")
        low = -(1 << 63) if self.start_ns is None else self.start_ns
        high = 1 << 63 if self.end_ns is None else self.end_ns
        for row, origin in rows_of(self.kind, source):
            if low <= row.timestamp_ns < high and self.matches(row, origin):
                yield Hit(row, origin)


@dataclass(frozen=True, slots=True)
class DayReader:
    """One committed state of the index of a day. Every method raises StoreError when it is damaged."""

    path: Path
    searcher: tantivy.Searcher

    def page(self, wanted: Filter, query: RecordQuery) -> list[Hit]:
        """Up to `query.limit` hits after `query.after` in order of (timestamp, position).

        Blocks come by their last time (their first, for oldest first); when no block to come can hold a row that
        belongs before the last of a full page, the page is done.
        """
        sign = 1 if query.newest_first else -1
        after = None if query.after is None else (query.after.timestamp_ns, pack(query.after.position))
        page: list[tuple[int, int, int, Hit]] = []  # a heap: the row that would go first is at its top
        order = 0
        for edge_ns, source in self._blocks(wanted, query):
            if len(page) == query.limit and page[0][0] > sign * edge_ns:
                break
            for hit in wanted.hits(source):
                place = hit.place
                if after is not None and (place >= after if query.newest_first else place <= after):
                    continue
                order += 1
                entry = (sign * place[0], sign * place[1], order, hit)
                if len(page) < query.limit:
                    heapq.heappush(page, entry)
                elif entry > page[0]:
                    heapq.heapreplace(page, entry)
        return [entry[-1] for entry in sorted(page, reverse=True)]

    def _blocks(self, wanted: Filter, query: RecordQuery) -> Iterator[tuple[int, bytes]]:
        """(last or first time, rows) of the blocks that may have a part in the page, in order of that time."""
        field, order = ("last_ns", Order.Desc) if query.newest_first else ("first_ns", Order.Asc)
        clauses = [*wanted.blocks, _not_past(query.after, query.newest_first)]
        offset, count = 0, _FIRST_BLOCKS
        while True:
            found = self._search(clauses, count, offset, field, order)
            yield from ((edge_ns, self._source(address)) for edge_ns, address in found)
            if len(found) < count:
                return
            offset, count = offset + count, min(2 * count, _MOST_BLOCKS)

    def all(self, wanted: Filter, more: Query | None = None) -> Iterator[Hit]:
        """Every hit, of blocks that fit `more` as well, in no order."""
        clauses = all_of([*wanted.blocks] if more is None else [*wanted.blocks, more])
        with engine_errors(self.path):
            found = self.searcher.search(clauses, max(self.searcher.num_docs, 1), count=False).hits
        for _, address in found:
            yield from wanted.hits(self._source(address))

    def _search(
        self, clauses: Sequence[Query], limit: int, offset: int, field: str, order: Order
    ) -> list[tuple[int, tantivy.DocAddress]]:
        with engine_errors(self.path):
            found = self.searcher.search(
                all_of(clauses), limit, count=False, order_by_field=field, offset=offset, order=order
            ).hits
        return [(int(value), address) for value, address in found]

    def _source(self, address: tantivy.DocAddress) -> bytes:
        with engine_errors(self.path):
            return bytes(self.searcher.doc(address).get_first("source") or b"")


def _not_past(after: Cursor | None, newest_first: bool) -> Query:
    """Blocks that hold something at or after the cursor, in the page's order."""
    if after is None:
        return Query.all_query()
    if newest_first:
        return integers("first_ns", None, after.timestamp_ns)
    return integers("last_ns", after.timestamp_ns, None)


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
