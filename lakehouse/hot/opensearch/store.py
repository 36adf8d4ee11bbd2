"""The hot store on an OpenSearch cluster: one index per kind and arrival day, read through an alias per tenant.

Exactly once visible: a document's id is its place on the bus, so a replay finds it there; the checkpoint of a bus
partition is written after the documents before it. Any number of readers, and of writers on partitions of their own.
Opening makes no connection: an engine that is absent is told by whoever asks it, and found again without a restart.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from contracts.batches import IMPORTED
from contracts.errors import QueryError, StoreError
from contracts.hot import Found, HotArrival, HotDay, HotRebuild, HotWriter
from contracts.messages import Kind
from contracts.query import Node, RecordQuery
from contracts.settings import Settings
from contracts.tenants import Tenant
from lakehouse.hot.opensearch.arrivals import arrival, places
from lakehouse.hot.opensearch.client import Client, EngineError
from lakehouse.hot.opensearch.days import Names, current, forget, indexes
from lakehouse.hot.opensearch.document import LAST_OFFSET, columns, found, pack
from lakehouse.hot.opensearch.query import Query, all_of, build, none_of, past, time_range
from lakehouse.hot.opensearch.rebuild import OpenSearchHotRebuild
from lakehouse.hot.opensearch.state import KindState
from lakehouse.hot.opensearch.templates import KINDS
from lakehouse.hot.opensearch.writer import OpenSearchHotWriter
from lakehouse.match import record_matcher

PAGE_ROWS = 5_000  # of one answer of the engine, which allows 10,000
MOST_LOOKED_AT = 50_000  # records of one search whose values are too long for the index

_NEWEST, _OLDEST = ([{"timestamp_ns": way}, {"position": way}] for way in ("desc", "asc"))
_IN_ORDER_OF_THE_BUS = [{"position": "asc"}]
_SWITCHED = (404, 500, 503)
_Sort = list[dict[str, str]]


class OpenSearchHotStore:
    """See `contracts.hot.HotStore`."""

    def __init__(self, url: str, settings: Settings) -> None:
        self._url, self._settings = url, settings
        self._client = Client(url, settings, settings.opensearch_timeout_s, rests=True)
        self._writing: Client | None = None
        prefix = settings.opensearch_prefix
        self._names = {kind: Names(prefix, kind) for kind in KINDS}
        self._states = {kind: KindState(self._client, prefix, kind) for kind in KINDS}
        self._aliases: set[str] = set()  # that were seen
        self._lock = threading.Lock()

    def writer(self, kind: Kind) -> HotWriter:
        """Several may be open, in any process; two must not be given the same bus partition."""
        self._known(kind)
        return OpenSearchHotWriter(self._writing_client(), self._settings, kind)

    def _writing_client(self) -> Client:
        with self._lock:  # writers of several kinds are opened at once
            if self._writing is None:
                self._writing = Client(self._url, self._settings, self._settings.opensearch_write_timeout_s)
            return self._writing

    def days(self, kind: Kind) -> Sequence[dt.date]:
        names = self._known(kind)
        days = self._states[kind].days()
        there = current(indexes(self._client, names), days)
        return [day for day, index in there.items() if days.trusts(day, index.uuid)]

    def held(self, kind: Kind) -> Sequence[HotDay]:
        names, days = self._known(kind), self._states[kind].days()
        there = current(indexes(self._client, names), days)
        return [
            HotDay(day, self._size_bytes(index.name), days.trusts(day, index.uuid), days.rebuilt_ns(day, index.uuid))
            for day, index in there.items()
            if not days.is_dropped(day)
        ]

    def dropped(self, kind: Kind) -> Sequence[dt.date]:
        self._known(kind)
        return sorted(day for day, known in self._states[kind].days().days.items() if known.dropped)

    def checkpoints(self, kind: Kind) -> Mapping[int, int]:
        self._known(kind)
        return self._states[kind].checkpoints().value.partitions

    def search(self, tenant: Tenant, query: RecordQuery, days: Sequence[dt.date]) -> Sequence[Found]:
        names, kind = self._known(query.kind), query.kind
        clause = build(query.where, kind)
        base = [{"term": {"tenant": tenant}}, time_range(query.start_ns, query.end_ns)]
        aliases = self._readable(names, tenant, days)
        is_exact = clause.possible is None or not self._count(
            aliases, all_of([*base, clause.upper, none_of(clause.sure)])
        )
        where = all_of([*base, clause.sure if is_exact else clause.upper])
        after = [query.after.timestamp_ns, pack(query.after.position)] if query.after else None
        sort = _NEWEST if query.newest_first else _OLDEST
        hits, matches = list[Found](), record_matcher(query.where, kind)
        for looked_at, record in enumerate(self._records(kind, tenant, aliases, where, sort, after, query.limit)):
            if is_exact or matches(record):
                hits.append(found(kind, record))
            if len(hits) == query.limit:
                break
            _bound(looked_at, is_exact)
        return hits

    def count(
        self, tenant: Tenant, kind: Kind, where: Node, start_ns: int | None, end_ns: int | None, days: Sequence[dt.date]
    ) -> int:
        names = self._known(kind)
        clause = build(where, kind)
        base = [{"term": {"tenant": tenant}}, time_range(start_ns, end_ns)]
        aliases = self._readable(names, tenant, days)
        counted = self._count(aliases, all_of([*base, clause.sure]))
        if clause.possible is None:
            return counted
        unsure = all_of([*base, clause.upper, none_of(clause.sure)])
        matches = record_matcher(where, kind)
        for looked_at, record in enumerate(self._records(kind, tenant, aliases, unsure, _OLDEST, None, PAGE_ROWS)):
            counted += matches(record)
            _bound(looked_at, is_exact=False)
        return counted

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
        names = self._known(kind)
        clause = build(where, kind)
        # Days that are not trusted count here: what the lake lacks is a matter of offsets, not of days.
        days = self._states[kind].days()
        there = [day for day in current(indexes(self._client, names), days) if days.may_be_asked(day)]
        beyond = past({IMPORTED: LAST_OFFSET, **after})  # imported rows come by a rebuild, from the lake
        filters = [{"term": {"tenant": tenant}}, time_range(start_ns, end_ns), beyond, clause.upper]
        aliases = self._readable(names, tenant, there)
        hits, matches = list[Found](), record_matcher(where, kind)
        for record in self._records(kind, tenant, aliases, all_of(filters), _IN_ORDER_OF_THE_BUS, None, limit):
            if clause.possible is None or matches(record):
                hits.append(found(kind, record))
            if len(hits) == limit:
                break
        return hits

    def arrivals(
        self, tenant: Tenant, kind: Kind, where: Node, start: Mapping[int, int], end: Mapping[int, int], limit: int
    ) -> Sequence[HotArrival]:
        names = self._known(kind)
        clause = build(where, kind)
        days = self._states[kind].days()
        there = [day for day in current(indexes(self._client, names), days) if days.may_be_asked(day)]
        given = {partition: place for partition, place in end.items() if partition != IMPORTED}
        aliases = self._readable(names, tenant, there)
        filters = all_of([{"term": {"tenant": tenant}}, places(start, given), clause.upper])
        made, matches = list[HotArrival](), record_matcher(where, kind)
        for record in self._records(kind, tenant, aliases, filters, _IN_ORDER_OF_THE_BUS, None, limit):
            if clause.possible is None or matches(record):
                made.append(arrival(record))
            if len(made) == limit:
                break
        return made

    def drop_day(self, kind: Kind, day: dt.date) -> None:
        forget(self._client, self._known(kind), self._states[kind], day, for_good=True)

    def forget(self, kind: Kind, day: dt.date) -> None:
        forget(self._client, self._known(kind), self._states[kind], day)

    def rebuilder(self, kind: Kind, day: dt.date) -> HotRebuild:
        return OpenSearchHotRebuild(self._writing_client(), self._settings, self._known(kind), day)

    def size_bytes(self, kind: Kind, day: dt.date) -> int:
        names, days = self._known(kind), self._states[kind].days()
        index = current(indexes(self._client, names, names.of(day)), days).get(day)
        return 0 if index is None else self._size_bytes(index.name)

    def _size_bytes(self, index: str) -> int:
        filter_path = {"filter_path": "_all.total.store.size_in_bytes"}
        answer = self._client.call("GET", f"/{index}/_stats/store", params=filter_path, absent={})
        return int(answer["_all"]["total"]["store"]["size_in_bytes"]) if answer else 0

    def close(self) -> None:
        self._client.close()
        if self._writing is not None:
            self._writing.close()
            self._writing = None

    def _known(self, kind: Kind) -> Names:
        if kind not in self._names:
            raise StoreError(f"the hot store does not hold {kind.value}", hint="they are in the lake only")
        return self._names[kind]

    def _readable(self, names: Names, tenant: Tenant, days: Sequence[dt.date]) -> list[str]:
        """The aliases of `tenant` on `days`. A day on which it wrote nothing has none.

        Raises:
            StoreError: One of the days is not here (any more).
        """
        wanted = {names.alias(day, tenant): day for day in sorted(set(days))}
        if unseen := {alias: day for alias, day in wanted.items() if alias not in self._aliases}:
            there = self._client.call("GET", f"/{names.every}/_alias/{names.prefix}-*@{tenant}", absent={})
            seen = {alias for about in there.values() for alias in about.get("aliases", {})}
            with self._lock:
                self._aliases = self._aliases | seen
            absent = [day for alias, day in unseen.items() if alias not in seen]
            if absent and not set(absent) <= self._there(names):
                raise StoreError(f"the hot store does not hold {min(absent)} (any more)", retry_after_s=1)
        return [alias for alias in wanted if alias in self._aliases]

    def _there(self, names: Names) -> set[dt.date]:
        days = self._states[names.kind].days()
        return {day for day in current(indexes(self._client, names), days) if not days.is_dropped(day)}

    def _records(
        self,
        kind: Kind,
        tenant: Tenant,
        aliases: Sequence[str],
        where: Query,
        sort: _Sort,
        after: list[int] | None,
        limit: int,
    ) -> Iterator[dict[str, Any]]:
        """All records, page after page; `limit` is how many will do in most cases."""
        body: dict[str, Any] = {"query": where, "sort": sort, "size": min(limit, PAGE_ROWS), "track_total_hits": False}
        while True:
            hits = self._ask(aliases, body | ({"search_after": after} if after else {}))["hits"]["hits"]
            for hit in hits:
                yield columns(kind, tenant, hit["_source"])
            if len(hits) < body["size"]:
                return
            after = hits[-1]["sort"]

    def _count(self, aliases: Sequence[str], where: Query) -> int:
        answer = self._ask(aliases, {"query": where, "size": 0, "track_total_hits": True})
        return int(answer["hits"]["total"]["value"])

    def _ask(self, aliases: Sequence[str], body: dict[str, Any]) -> dict[str, Any]:
        """One search, of all shards or none. Its indexes stand in the body: a path would grow too long."""
        if not aliases:
            return {"hits": {"hits": [], "total": {"value": 0}}}
        head = {"index": list(aliases), "allow_partial_search_results": False}
        try:
            lines = b"%b\n%b\n" % (msgspec.json.encode(head), msgspec.json.encode(body))
        except UnicodeEncodeError as error:
            raise QueryError("a value of the query is not valid Unicode", code="bad_value") from error
        answer: dict[str, Any] = self._client.call("POST", "/_msearch", lines, lines=True)["responses"][0]
        if answer.get("error") and answer["status"] in _SWITCHED:  # an index that was rebuilt went under the search
            answer = self._client.call("POST", "/_msearch", lines, lines=True)["responses"][0]
        if answer.get("error"):
            self._refuse(answer)
        if answer["timed_out"] or answer["_shards"]["failed"]:
            raise StoreError("OpenSearch answered for some of its shards only", hint="see GET _cluster/health")
        return answer

    def _refuse(self, answer: dict[str, Any]) -> None:
        error = answer["error"]
        cause = (error.get("root_cause") or [error])[0]
        kind, reason = str(cause.get("type")), str(cause.get("reason"))
        if answer["status"] == 404:
            with self._lock:
                self._aliases = set()
            raise StoreError("a day of the hot store was dropped meanwhile", retry_after_s=1)
        if answer["status"] == 400 and "automaton" in reason:
            raise QueryError("a wildcard is too long or too complex: shorten it", code="bad_value")
        if answer["status"] == 400 and "maxClauseCount" in reason:
            raise QueryError("the query has too many clauses: narrow it", code="too_many_clauses")
        raise EngineError(f"OpenSearch answered {kind}: {reason}"[:500], status=answer["status"], kind=kind)


def _bound(looked_at: int, is_exact: bool) -> None:
    if not is_exact and looked_at >= MOST_LOOKED_AT:
        raise StoreError(
            f"more than {MOST_LOOKED_AT} records hold values too long for the index of the hot store",
            hint="narrow the time range, or ask for another field",
        )
