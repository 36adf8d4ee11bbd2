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
    """One stored record as answered.

    Attributes:
        timestamp_ns: Event time.
        position: Where it stands on the bus; with the timestamp, its place in every page.
        fields: The record by its public names (timestamp and observed_timestamp as RFC 3339 text in UTC with
            microseconds and "Z", `attributes` as a dict, `id`), identical from either tier.
    """

    timestamp_ns: int
    position: Position
    fields: dict[str, Any]

    @property
    def cursor(self) -> Cursor:
        return Cursor(self.timestamp_ns, self.position)


@dataclass(frozen=True, slots=True)
class HotDay:
    """A day that has an index here.

    Attributes:
        size_bytes: Of its files.
        trusted: Whether it holds all of the day; reads take the lake for a day that is not trusted.
        rebuilt_ns: When it was rebuilt from the lake, Unix nanoseconds UTC; None: the flow wrote it.
    """

    day: dt.date
    size_bytes: int
    trusted: bool
    rebuilt_ns: int | None


class HotWriter(Protocol):
    """A writer of a kind: the only one where the engine admits one (Tantivy), else one of several on bus partitions of
    their own (OpenSearch). Not thread-safe."""

    def checkpoints(self) -> Mapping[int, int]:
        """Next offset by bus partition: everything before it is stored. A partition that is absent starts at 0."""
        ...

    def append(self, batches: Sequence[Batch]) -> None:
        """Buffer rows; a batch before the checkpoint of its day is skipped. Not durable until `commit`.

        Raises:
            StoreError: Nothing of this call was lost if the caller replays from `checkpoints`.
        """
        ...

    def commit(self) -> None:
        """Make everything appended durable and searchable, together with its checkpoints. Blocks; idempotent."""
        ...

    def distrust_through(self, day: dt.date) -> None:
        """Note that days up to `day` may miss rows here (their messages expired unread): reads take the lake."""
        ...

    def forget(self, day: dt.date) -> None:
        """`HotStore.forget` by the writer that may have the day open; commits before. What comes later for that day
        begins it anew, and it is not trusted.

        Call it when the lake has what was committed here: what it lacks is not visible until it has it.

        Raises:
            StoreError: As `commit`.
        """
        ...

    def close(self) -> None:
        """Let go without committing. Idempotent."""
        ...


class HotRebuild(Protocol):
    """A day that is built anew, from the lake, beside the one that answers. Not thread-safe.

    Left without `complete`, or when the process dies, everything is as it was; what was built is removed then, or by
    the next rebuild, or when a writer is opened. It runs beside the flow's writer, in any process.
    """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def add(self, batches: Sequence[Batch]) -> None:
        """Take rows of the day; of one bus message all rows in one batch, each message once.

        Raises:
            StoreError: The rebuild has failed: the store cannot be written, or the day was dropped or forgotten.
        """
        ...

    def complete(self, checkpoints: Mapping[int, int]) -> None:
        """Put the day in the place of the one before, at once for readers, trusted whatever it was: absent, dropped,
        distrusted, forgotten, of another format or damaged. Blocks until it is durable.

        Args:
            checkpoints: Next offset by bus partition: all rows of the day before it were added; what a flow replays
                from before it is skipped.

        Raises:
            StoreError: Nothing was changed: the day was dropped or forgotten meanwhile, or got rows past `checkpoints`.
        """
        ...

    def close(self) -> None:
        """Give up, unless it is complete. Idempotent."""
        ...


class HotStore(Protocol):
    """Reads are thread-safe and see what was committed; the tenant never has a default."""

    def writer(self, kind: Kind) -> HotWriter:
        """Open the writer of `kind`.

        Raises:
            StoreError: Another process writes it already, and the engine admits one writer.
        """
        ...

    def days(self, kind: Kind) -> Sequence[dt.date]:
        """Arrival days this store answers for, in full, ascending."""
        ...

    def held(self, kind: Kind) -> Sequence[HotDay]:
        """Every day that has an index, those that are not trusted as well, ascending; dropped ones have none."""
        ...

    def dropped(self, kind: Kind) -> Sequence[dt.date]:
        """Days that were dropped and not rebuilt since, ascending."""
        ...

    def checkpoints(self, kind: Kind) -> Mapping[int, int]:
        """As of the last commit; the lag of the hot store is measured from it."""
        ...

    def search(self, tenant: Tenant, query: RecordQuery, days: Sequence[dt.date]) -> Sequence[Found]:
        """Up to `query.limit` records of `days` after `query.after`, sorted as asked.

        Raises:
            StoreError: A day cannot be read (or was dropped meanwhile).
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
        """Records at or past the next-offsets `after` (by bus partition; absent: from 0), in no order.

        What the lake has not committed yet: a few seconds of records. At most `limit`.
        """
        ...

    def drop_day(self, kind: Kind, day: dt.date) -> None:
        """Remove a day for good; a replay does not bring it back, a rebuild that begins later does. Idempotent.

        A reader in flight finishes or gets StoreError; a rebuild of that day that is under way fails.
        """
        ...

    def rebuilder(self, kind: Kind, day: dt.date) -> HotRebuild:
        """Begin to build a closed day anew; reads go on from what is there. Pin the lake after this call, so that a
        `forget` that this rebuild outlives cannot be undone by it.

        Raises:
            StoreError: Another process rebuilds a day of this kind (on OpenSearch it is that one that fails, and only
                when it is the same day), or the store cannot be written.
        """
        ...

    def forget(self, kind: Kind, day: dt.date) -> None:
        """Remove the index of a day and its files now: reads take the lake for that day until it is rebuilt. A rebuild
        of that day that is under way fails. Idempotent; a day that is dropped stays dropped.

        Raises:
            StoreError: A writer has the day open, and the engine admits one process (Tantivy): nothing was changed;
                `HotWriter.forget` is the way then.
        """
        ...

    def size_bytes(self, kind: Kind, day: dt.date) -> int: ...

    def close(self) -> None: ...
