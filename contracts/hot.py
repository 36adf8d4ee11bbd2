"""The hot store port: an index that makes records searchable in about a second and can be rebuilt from the lake.

The URL scheme picks the adapter (`lakehouse.open_hot`): `tantivy:///path` (embedded), `opensearch://host:port`.
One index per kind and arrival day. It holds logs, metrics and events; dead letters live in the lake only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Protocol, Self

from contracts.batches import Batch
from contracts.messages import Kind
from contracts.query import Cursor, Node, Position, RecordQuery
from contracts.tenants import Tenant


@dataclass(frozen=True, slots=True)
class Found:
    """One stored record in an answer.

    Attributes:
        timestamp_ns: Event time.
        position: Position of the record on the bus. Pages are sorted by (timestamp, position).
        fields: The record by its public names (timestamp and observed_timestamp as RFC 3339 text in UTC with
            microseconds and "Z", `attributes` as a dict, `id`), identical from either tier.
    """

    timestamp_ns: int
    position: Position
    fields: dict[str, Any]

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.timestamp_ns, self.position)


LINES = 1 << 16  # more than a message has; a place in a partition is `offset * LINES + line`


@dataclass(frozen=True, slots=True)
class HotArrival:
    """One stored record as it came.

    Attributes:
        partition, place: Where it stands on the bus; `place` is `offset * LINES + line`.
        record: By the names of the stored columns (`lakehouse.record_view` makes the public fields of it,
            `lakehouse.match` tests it); not to be changed.
    """

    partition: int
    place: int
    record: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class HotDay:
    """A day that has an index in the hot store.

    Attributes:
        size_bytes: Size of the index files.
        trusted: True if the index holds all records of the day; for other days reads use the lake.
        rebuilt_ns: Time of the rebuild from the lake, Unix nanoseconds UTC; None if the flow wrote the index.
    """

    day: dt.date
    size_bytes: int
    trusted: bool
    rebuilt_ns: int | None


class HotWriter(Protocol):
    """A writer of one kind. Not thread-safe.

    Tantivy admits one writer of a kind. OpenSearch admits several, each on bus partitions of its own.
    """

    def checkpoints(self) -> Mapping[int, int]:
        """Next offset by bus partition: every record before it is stored. An absent partition starts at 0."""
        ...

    def append(self, batches: Sequence[Batch]) -> None:
        """Buffer rows; skip a batch that lies before the checkpoint of its day. Not durable until `commit`.

        Raises:
            StoreError: The rows may be lost; replay from `checkpoints`.
        """
        ...

    def commit(self) -> None:
        """Make all appended rows durable and searchable, together with their checkpoints. Blocks; idempotent."""
        ...

    def distrust_through(self, day: dt.date) -> None:
        """Mark days up to `day` as not trusted, as messages of theirs expired unread: reads then use the lake."""
        ...

    def forget(self, day: dt.date) -> None:
        """Commit, then do `HotStore.forget` for a day that this writer may have open.

        Later rows of that day begin a new index, which is not trusted. Commit the lake first: after this call reads of
        the day use only the lake, so rows that the lake lacks are invisible until its next commit.

        Raises:
            StoreError: As `commit`.
        """
        ...

    def close(self) -> None:
        """Release all resources without a commit. Idempotent."""
        ...


class HotRebuild(Protocol):
    """A second index of one day, built from the lake while the first one answers. Not thread-safe.

    Without `complete`, or after a kill, the first index stays. The unfinished index is then removed by `__exit__`, by
    the next rebuild, or when a writer is opened. A rebuild may run beside the flow's writer, in any process.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add(self, batches: Sequence[Batch]) -> None:
        """Add rows of the day. One batch holds all rows of one bus message; add each message once.

        Raises:
            StoreError: The rebuild has failed: the store cannot be written, or the day was dropped or forgotten.
        """
        ...

    def complete(self, checkpoints: Mapping[int, int]) -> None:
        """Replace the index of the day with the new one. Blocks until durable; readers see the new index at once.

        The day is trusted afterwards, even if it was absent, dropped, distrusted, forgotten, damaged or of another
        format before.

        Args:
            checkpoints: Next offset by bus partition: all rows of the day before it were added, and the writer skips
                rows that a flow replays from before it.

        Raises:
            StoreError: Nothing changed: during the rebuild the day was dropped, forgotten or got later rows.
        """
        ...

    def close(self) -> None:
        """Discard the new index unless it is complete. Idempotent."""
        ...


class HotStore(Protocol):
    """Reads are thread-safe and see committed rows only. The tenant never has a default."""

    def writer(self, kind: Kind) -> HotWriter:
        """Open the writer of `kind`.

        Raises:
            StoreError: Another process writes this kind already, and the engine admits one writer.
        """
        ...

    def days(self, kind: Kind) -> Sequence[dt.date]:
        """Arrival days that this store answers completely, ascending."""
        ...

    def held(self, kind: Kind) -> Sequence[HotDay]:
        """All days that have an index, trusted or not, ascending. A dropped day has no index."""
        ...

    def dropped(self, kind: Kind) -> Sequence[dt.date]:
        """Days that were dropped and not rebuilt since, ascending."""
        ...

    def checkpoints(self, kind: Kind) -> Mapping[int, int]:
        """Next offset by bus partition as of the last commit. The lag of the hot store is measured from it."""
        ...

    def search(self, tenant: Tenant, query: RecordQuery, days: Sequence[dt.date]) -> Sequence[Found]:
        """Up to `query.limit` records of `days` after `query.after`, sorted as asked.

        Raises:
            StoreError: A day cannot be read, or was dropped during the search.
        """
        ...

    def count(
        self, tenant: Tenant, kind: Kind, where: Node, start_ns: int | None, end_ns: int | None, days: Sequence[dt.date]
    ) -> int: ...

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
        """At most `limit` records at or past the offsets `after` (by bus partition; absent: from 0), in no order.

        Meant for the few seconds of records that the lake has not committed yet.
        """
        ...

    def arrivals(
        self, tenant: Tenant, kind: Kind, where: Node, start: Mapping[int, int], end: Mapping[int, int], limit: int
    ) -> Sequence[HotArrival]:
        """The first `limit` records, in the bus's order, of those at or past the places `start` and before `end`.

        By bus partition; absent in `start` is from 0, absent in `end` is none. Imported records never arrived. With
        `end` from `checkpoints`, asked for before, the answer misses no record.

        Raises:
            StoreError: The store cannot be read now, or reading took too long.
            QueryError: The query has no answer as written.
        """
        ...

    def drop_day(self, kind: Kind, day: dt.date) -> None:
        """Remove a day for good: a replay does not restore it, only a later rebuild does. Idempotent.

        A running read of the day finishes or raises StoreError; a running rebuild of the day fails.
        """
        ...

    def rebuilder(self, kind: Kind, day: dt.date) -> HotRebuild:
        """Begin to rebuild a closed day; reads continue on the present index.

        Pin the lake version after this call: then a `forget` that happens during the rebuild makes the rebuild fail
        instead of being undone.

        Raises:
            StoreError: Another process rebuilds a day of this kind, or the store cannot be written. On OpenSearch the
                other rebuild fails instead, and only if it is of the same day.
        """
        ...

    def forget(self, kind: Kind, day: dt.date) -> None:
        """Remove the index files of a day now: reads use the lake for that day until a rebuild. Idempotent.

        A running rebuild of that day fails. A dropped day stays dropped.

        Raises:
            StoreError: A writer has the day open, and the engine admits one process (Tantivy). Nothing changed; call
                `HotWriter.forget` instead.
        """
        ...

    def size_bytes(self, kind: Kind, day: dt.date) -> int: ...

    def close(self) -> None: ...
