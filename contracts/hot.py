"""The hot store port: an index that makes records searchable in about a second and can be rebuilt from the lake.

The URL scheme picks the adapter (`lakehouse.open_hot`): `tantivy:///path` (embedded), `opensearch://host:port`.
One index per kind and arrival day. It holds logs, metrics and events; dead letters live in the lake only.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

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

    def close(self) -> None:
        """Let go without committing. Idempotent."""
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
        """Forget a day for good; a replay does not bring it back. Idempotent.

        A reader in flight finishes or gets StoreError.
        """
        ...

    def size_bytes(self, kind: Kind, day: dt.date) -> int: ...

    def close(self) -> None: ...
