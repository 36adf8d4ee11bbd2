"""The one door for reads: hot store and lake -> one answer, each record once, with where it came from.

Records: the hot store answers for the arrival days it holds, the lake for all others; hot is pinned first, so that a
day it gives up in between is already whole in the lake. A hot store that is
behind the lake in any partition is being filled again, and holds no day in full: then the lake answers, and the hot
store adds what it has past it. Metrics and services: the lake up to its landed offsets, and what the hot store has past
them. A tier that fails is said in the answer (`partial`), never hidden.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from contracts.answers import Page, SeriesAnswer, ServicesAnswer, TierUse
from contracts.errors import StoreError
from contracts.hot import Found, HotStore
from contracts.messages import Kind
from contracts.query import MetricQuery, RecordQuery
from contracts.settings import Settings
from contracts.tenants import Tenant
from lakehouse import metrics, services
from lakehouse.lake import Lake
from lakehouse.lake_query import records_sql
from lakehouse.lake_records import COLUMNS, found_records
from lakehouse.lake_tail import TAIL_ROWS

MISSING_HINT = "records of the last seconds may be missing"


@dataclass(slots=True)
class _Tier:
    """One tier's part of a page, or why there is none."""

    found: Sequence[Found] = ()
    days: tuple[dt.date, ...] = ()
    took_ms: float = 0.0
    error: str = ""


class Search:
    """Thread-safe. `hot` None: the lake alone answers."""

    def __init__(self, hot: HotStore | None, lake: Lake, settings: Settings) -> None:
        self._hot = hot
        self._lake = lake
        self._settings = settings

    def records(self, tenant: Tenant, query: RecordQuery) -> Page:
        """One page by (timestamp, position).

        Following `next` visits every record that was stored when the first page was asked for, once; a record that
        arrives meanwhile is in a later page when it lies past the cursor.

        Raises:
            StoreError: No tier could answer.
            QueryError: The query has no answer as written.
        """
        wanted = replace(query, limit=query.limit + 1)  # one more tells whether there is a next page
        if self._hot is not None and _is_behind(self._hot, self._lake, query.kind):
            lake, hot = self._lake_and_tail(self._hot, tenant, wanted)
        else:
            hot = self._from_hot(tenant, wanted)
            lake = self._from_lake(tenant, wanted, () if hot.error else hot.days)
        if lake.error and (hot.error or self._hot is None):
            raise StoreError(f"no tier can answer: {lake.error}", hint=hot.error, retry_after_s=5)
        merged = heapq.merge(hot.found, lake.found, key=_place, reverse=query.newest_first)
        rows = list(itertools.islice(merged, wanted.limit))
        page = rows[: query.limit]
        more = page[-1].cursor if len(rows) > query.limit else None
        kept = {id(record) for record in page}
        tiers = {"lake": _use(lake, kept)} | ({"hot": _use(hot, kept)} if self._hot is not None else {})
        return Page(page, more, bool(hot.error or lake.error), tiers)

    def _from_hot(self, tenant: Tenant, query: RecordQuery) -> _Tier:
        if self._hot is None:
            return _Tier()
        started = time.perf_counter()
        days: Sequence[dt.date] = ()
        try:
            days = self._hot.days(query.kind)
            try:
                found = self._hot.search(tenant, query, days)
            except StoreError:
                days, before = self._hot.days(query.kind), days
                if set(days) == set(before):
                    raise
                found = self._hot.search(tenant, query, days)  # a day was dropped meanwhile: the lake has it
        except StoreError as error:
            return _Tier((), tuple(days), _since(started), f"{error}; {MISSING_HINT}")
        return _Tier(found, tuple(days), _since(started))

    def _from_lake(self, tenant: Tenant, query: RecordQuery, not_days: Sequence[dt.date]) -> _Tier:
        started = time.perf_counter()
        sql = records_sql(tenant, query, not_days, COLUMNS[query.kind])
        try:
            found = found_records(query.kind, self._lake.snapshot(query.kind).query(sql))
        except StoreError as error:
            return _Tier(took_ms=_since(started), error=str(error))
        return _Tier(found, (), _since(started))

    def _lake_and_tail(self, hot: HotStore, tenant: Tenant, query: RecordQuery) -> tuple[_Tier, _Tier]:
        """The lake up to its landed offsets and the hot store past them: each record once."""
        started = time.perf_counter()
        try:
            snapshot = self._lake.snapshot(query.kind, with_landed=True)
            sql = records_sql(tenant, query, (), COLUMNS[query.kind])
            lake = _Tier(found_records(query.kind, snapshot.query(sql)), (), _since(started))
        except StoreError as error:
            return _Tier(took_ms=_since(started), error=str(error)), self._from_hot(tenant, query)
        started = time.perf_counter()
        asked = (tenant, query.kind, query.where, query.start_ns, query.end_ns)
        try:
            tail = hot.tail(*asked, snapshot.landed, TAIL_ROWS)
        except StoreError as error:
            return lake, _Tier(took_ms=_since(started), error=f"{error}; {MISSING_HINT}")
        short = f"the lake is behind; only {TAIL_ROWS} of the newest records are looked at"
        missing = short if len(tail) >= TAIL_ROWS else ""
        return lake, _Tier(_page(tail, query), (), _since(started), missing)

    def metrics(self, tenant: Tenant, query: MetricQuery) -> SeriesAnswer:
        """Aggregated series; see `lakehouse.metrics`.

        Raises:
            StoreError: No tier could answer.
            QueryError: The query has no answer as written.
        """
        return metrics.answer(self._hot, self._lake, self._settings, tenant, query)

    def services(self, tenant: Tenant, start_ns: int, end_ns: int) -> ServicesAnswer:
        """Services with logs whose event time is in the range; see `lakehouse.services`.

        Raises:
            StoreError: No tier could answer.
        """
        return services.answer(self._hot, self._lake, tenant, start_ns, end_ns)


def _is_behind(hot: HotStore, lake: Lake, kind: Kind) -> bool:
    """Whether the lake has what the hot store lacks. The lake is looked at first: only a lag of before counts."""
    try:
        landed = lake.landed(kind)
        checkpoints = hot.checkpoints(kind)
    except StoreError:  # whoever failed is asked again for the records, and says so
        return False
    return any(checkpoints.get(partition, 0) < offset for partition, offset in landed.items())


def _page(found: Sequence[Found], query: RecordQuery) -> list[Found]:
    """One tier's part of the page, of records in no order."""
    after, newest_first = query.after, query.newest_first
    if after is not None:
        past = (after.timestamp_ns, after.position.partition, after.position.offset, after.position.index)
        found = [record for record in found if (_place(record) < past if newest_first else _place(record) > past)]
    return sorted(found, key=_place, reverse=newest_first)[: query.limit]


def _place(record: Found) -> tuple[int, int, int, int]:
    position = record.position
    return record.timestamp_ns, position.partition, position.offset, position.index


def _since(started: float) -> float:
    return round((time.perf_counter() - started) * 1000, 3)


def _use(tier: _Tier, kept: set[int]) -> TierUse:
    rows = sum(id(record) in kept for record in tier.found)
    return TierUse(rows, tier.days, tier.took_ms, tier.error)
