"""The one door for reads: hot store, lake and archive -> one answer, each record once, with where it came from.

Records: the hot store answers for the arrival days it holds, lake and archive for all others; hot is pinned first, so
that a day it gives up in between is already whole below, and the lake before the archive (`lake_archive`). The archive
answers when it is asked for; else the answer says on which days it may have more. A hot store that is behind the lake
in any partition is being fed again, and holds no day in full: then the lake answers, the hot store adds what it has
past it, and the answer is partial, as the records of the last seconds may be in neither. Metrics and services: the lake
up to its landed offsets, and what the hot store has past them. A tier that fails is said in the answer (`partial`),
never hidden.
"""

from __future__ import annotations

import datetime as dt
import heapq
import itertools
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from contracts.answers import Page, SeriesAnswer, ServicesAnswer
from contracts.errors import StoreError
from contracts.hot import Found, HotStore
from contracts.query import DEFAULT_TIERS, MetricQuery, RecordQuery, Tier
from contracts.settings import Settings
from contracts.tenants import Tenant
from lakehouse.lake.store import Lake
from lakehouse.read import metrics, services
from lakehouse.read.pages import Below, Share, check_any, since, use_of
from lakehouse.read.tail import TAIL_ROWS, behind, lacking

MISSING_HINT = "records of the last seconds may be missing"


class Search:
    """Thread-safe. `hot` None: the lake alone answers."""

    def __init__(self, hot: HotStore | None, lake: Lake, settings: Settings) -> None:
        self._hot = hot
        self._lake = lake
        self._settings = settings

    def records(self, tenant: Tenant, query: RecordQuery, tiers: Collection[str] = DEFAULT_TIERS) -> Page:
        """One page by (timestamp, position), of the tiers that are asked for.

        Following `next` visits every record that was stored when the first page was asked for, once; a record that
        arrives meanwhile is in a later page when it lies past the cursor.

        Raises:
            StoreError: No tier could answer.
            QueryError: The query has no answer as written.
        """
        wanted = replace(query, limit=query.limit + 1)  # one more tells whether there is a next page
        shares = self._shares(tenant, wanted, tiers)
        partial = check_any({tier: use_of(share, 0) for tier, share in shares.items()})
        merged = heapq.merge(*(share.found for share in shares.values()), key=_place, reverse=query.newest_first)
        rows = list(itertools.islice(merged, wanted.limit))
        page = rows[: query.limit]
        more = page[-1].cursor if len(rows) > query.limit else None
        kept = {id(record) for record in page}
        uses = {
            tier: use_of(share, sum(id(record) in kept for record in share.found)) for tier, share in shares.items()
        }
        return Page(page, more, partial, uses)

    def _shares(self, tenant: Tenant, query: RecordQuery, tiers: Collection[str]) -> dict[str, Share]:
        """Each tier's part of the page; every record in one part. Of an archive not asked for, its days."""
        hot = self._hot if Tier.HOT in tiers else None
        shares: dict[str, Share] = {}
        days: Sequence[dt.date] = ()
        below: Below | None = None
        if hot is not None and set(tiers) != {Tier.HOT}:
            below, share = self._from_hot_behind(hot, tenant, query, tiers)
            shares |= {} if share is None else {Tier.HOT: share}
        if hot is not None and Tier.HOT not in shares:
            shares[Tier.HOT] = _from_hot(hot, tenant, query)
            days = () if shares[Tier.HOT].error else shares[Tier.HOT].days
        if below is None:
            below = Below(self._lake, query.kind, tiers)
        if Tier.LAKE in tiers:
            shares[Tier.LAKE] = below.lake_page(tenant, query, days)
        archive = below.archive_page(tenant, query, days)
        return shares if archive is None else {**shares, Tier.ARCHIVE: archive}

    def _from_hot_behind(
        self, hot: HotStore, tenant: Tenant, query: RecordQuery, tiers: Collection[str]
    ) -> tuple[Below | None, Share | None]:
        """The hot store's part when it lacks what the lake has, or cannot say how far it is: then no day of it is
        whole. No part: it lacks nothing. The lake is looked at first: only a lag of before counts."""
        started, below = time.perf_counter(), None
        try:
            landed = self._lake.landed(query.kind)
        except StoreError:
            below = Below(self._lake, query.kind, tiers, with_landed=True)
            landed = {} if below.snapshot is None else below.snapshot.landed
        try:
            lacks = lacking(hot.checkpoints(query.kind), landed)
        except StoreError as error:
            return below, Share(took_ms=since(started), error=f"{error}; {MISSING_HINT}")
        if not lacks:
            return below, None
        below = below or Below(self._lake, query.kind, tiers, with_landed=True)
        if below.snapshot is None:
            return below, None
        # Below has all up to its landed offsets, and the hot store may have some past them.
        return below, _tail(hot, tenant, query, below.snapshot.landed, behind(lacks))

    def metrics(self, tenant: Tenant, query: MetricQuery, tiers: Collection[str] = DEFAULT_TIERS) -> SeriesAnswer:
        """Aggregated series; see `lakehouse.read.metrics`.

        Raises:
            StoreError: No tier could answer.
            QueryError: The query has no answer as written.
        """
        return metrics.answer(self._hot, self._lake, self._settings, tenant, query, tiers)

    def services(
        self, tenant: Tenant, start_ns: int, end_ns: int, tiers: Collection[str] = DEFAULT_TIERS
    ) -> ServicesAnswer:
        """Services with logs whose event time is in the range; see `lakehouse.read.services`.

        Raises:
            StoreError: No tier could answer.
        """
        return services.answer(self._hot, self._lake, tenant, start_ns, end_ns, tiers)


def _from_hot(hot: HotStore, tenant: Tenant, query: RecordQuery) -> Share:
    started = time.perf_counter()
    days: Sequence[dt.date] = ()
    try:
        days = hot.days(query.kind)
        try:
            found = hot.search(tenant, query, days)
        except StoreError:
            days, before = hot.days(query.kind), days
            if set(days) == set(before):
                raise
            found = hot.search(tenant, query, days)  # a day was dropped meanwhile: the lake has it
    except StoreError as error:
        return Share((), tuple(days), since(started), f"{error}; {MISSING_HINT}")
    return Share(found, tuple(days), since(started))


def _tail(hot: HotStore, tenant: Tenant, query: RecordQuery, landed: Mapping[int, int], why: str) -> Share:
    """What the hot store has past the lake's landed offsets; `why` it is not more."""
    started = time.perf_counter()
    asked = (tenant, query.kind, query.where, query.start_ns, query.end_ns)
    try:
        tail = hot.tail(*asked, landed, TAIL_ROWS)
    except StoreError as error:
        return Share(took_ms=since(started), error=f"{error}; {MISSING_HINT}")
    short = f"; the lake is behind, too: only {TAIL_ROWS} of the newest records are looked at"
    return Share(_page(tail, query), (), since(started), why + (short if len(tail) >= TAIL_ROWS else ""))


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
