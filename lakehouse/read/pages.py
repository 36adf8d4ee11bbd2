"""Pages of lake and archive: versions that are pinned together -> each tier's part of a page.

The lake is pinned first. Its version says which moves to the archive are finished, so that a day which moves meanwhile
is in one of the two parts.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from contracts.answers import TierUse
from contracts.errors import StoreError
from contracts.hot import Found
from contracts.messages import Kind
from contracts.query import RecordQuery, Tier
from contracts.tenants import Tenant
from lakehouse.lake.archive import days_of, table_name, visible_sql
from lakehouse.lake.snapshot import Snapshot
from lakehouse.lake.store import Lake
from lakehouse.read.records import COLUMNS, matching_page
from lakehouse.sql.query import records_sql


@dataclass(slots=True)
class Share:
    """One tier's part of a page, or why there is none."""

    found: Sequence[Found] = ()
    days: tuple[dt.date, ...] = ()
    took_ms: float = 0.0
    error: str = ""
    skipped: bool = False


def since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


class Below:
    """Lake and archive of one question, as of one moment. Not thread-safe.

    Attributes:
        snapshot: Of the lake; None when it cannot be read.
        error: Why, or "".
    """

    def __init__(self, lake: Lake, kind: Kind, tiers: Collection[str], with_landed: bool = False) -> None:
        self._lake, self._kind, self._tiers = lake, kind, tiers
        self.snapshot: Snapshot | None = None
        self.error = ""
        try:
            self.snapshot = lake.snapshot(kind, with_landed)
        except StoreError as error:
            self.error = str(error)

    def archive(
        self,
        into: Snapshot,
        tenant: Tenant,
        start_ns: int | None,
        end_ns: int | None,
        not_days: Sequence[dt.date] = (),
    ) -> Share | None:
        """Pin the archive in `into` (once), and what it may hold of a range, yet without records.

        None: It was not asked for, and holds nothing of it. With `skipped`, it was not asked for.
        """
        if self.snapshot is None:
            return (
                Share(error=f"which days it holds is not known: {self.error}") if Tier.ARCHIVE in self._tiers else None
            )
        moves, started, asked = self.snapshot.moves, time.perf_counter(), Tier.ARCHIVE in self._tiers
        if not (asked or moves):
            return None
        try:
            lake, kind = self._lake, self._kind
            parts = lake.pin_archive(kind, moves, into) if asked else lake.archived(kind, moves)
        except StoreError as error:
            tell = f"{error}; {error.hint}" if error.hint else str(error)
            return Share(took_ms=since(started), error=tell, skipped=not asked)
        held = set(not_days)
        days = days_of(part for part in parts if part.day not in held and part.may_hold(tenant, start_ns, end_ns))
        return Share((), days, since(started), skipped=not asked) if asked or days else None

    def lake_page(self, tenant: Tenant, query: RecordQuery, not_days: Sequence[dt.date]) -> Share:
        started = time.perf_counter()
        if self.snapshot is None:
            return Share(error=self.error)

        def rows(snapshot: Snapshot, asked: RecordQuery) -> pa.Table:
            return snapshot.query(records_sql(tenant, asked, not_days, COLUMNS[query.kind]))

        return _asked(started, query, rows, self.snapshot)

    def archive_page(self, tenant: Tenant, query: RecordQuery, not_days: Sequence[dt.date]) -> Share | None:
        """None: it has no part in this question. Not to be called twice."""
        snapshot = self.snapshot or self._lake.scratch(query.kind)
        share = self.archive(snapshot, tenant, query.start_ns, query.end_ns, not_days)
        if share is None or share.skipped or share.error or not share.days:
            return share
        started = time.perf_counter() - share.took_ms / 1000
        columns, table, moved = COLUMNS[query.kind], table_name(query.kind), visible_sql(snapshot.moves)

        def rows(pinned: Snapshot, asked: RecordQuery) -> pa.Table:
            return pinned.query(records_sql(tenant, asked, not_days, columns, table, moved), archive_name(query.kind))

        found = _asked(started, query, rows, snapshot)
        found.days = share.days
        return found


def _asked(
    started: float, query: RecordQuery, rows: Callable[[Snapshot, RecordQuery], pa.Table], snapshot: Snapshot
) -> Share:
    try:
        found = matching_page(query, snapshot.timeout_s, lambda asked: rows(snapshot, asked))
        return Share(found, (), since(started))
    except StoreError as error:
        return Share(took_ms=since(started), error=str(error))


def archive_name(kind: Kind) -> str:
    """For messages."""
    return f'archive table "{kind.value}"'


def use_of(share: Share, rows: int) -> TierUse:
    return TierUse(rows, share.days, share.took_ms, share.error, share.skipped)


def check_any(tiers: Mapping[str, TierUse]) -> bool:
    """Whether a tier that was asked for failed.

    Raises:
        StoreError: Every one did.
    """
    asked = [use for use in tiers.values() if not use.skipped]
    failed = [use.error for use in asked if use.error]
    if failed and len(failed) == len(asked):
        raise StoreError(f"no tier can answer: {failed[-1]}", hint="; ".join(failed[:-1]), retry_after_s=5)
    return bool(failed)
