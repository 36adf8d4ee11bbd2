"""`GET /logs/tail`: Lucene text and filters -> records as they arrive, as server-sent events.

Each record once, in the order of the bus (partition by partition), from now, from the `Last-Event-ID`, or with `start`
after the records that are there already, oldest first. Other events: `begin`, `skipped` (a slow reader), `away` and
`back` (the hot store), `partial` (the history), `end` (the service stops: connect again).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import anyio
import anyio.to_thread
from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Counter, Gauge
from starlette.responses import Response

from contracts.batches import IMPORTED
from contracts.errors import ConfigError, QueryError, StoreError
from contracts.hot import LINES, Found, HotStore
from contracts.messages import Kind
from contracts.query import Node, RecordQuery, Tier
from contracts.settings import Settings
from contracts.tenants import Role, Tenant
from lakehouse.read.follow import Tails, TooManyTails
from lakehouse.read.tails import Away, Item, Places, Record, Skipped, Tail
from query_api.backend import KNOWN_ONLY, PROBLEMS, Backend, Reader, Stores, reading
from query_api.event_ids import HEADER, EventId, read_id, write_id
from query_api.event_stream import EventStream, event, heartbeat, told
from query_api.filters import time_named, where
from query_api.parameters import DEFAULT_TIERS_TEXT, Env, Host, Level, Service, Start, Text, Tiers, tiers_of
from web.auth import requires
from web.problems import Problem, encode

HISTORY_ROWS = 1_000  # of a page of the history
TAKEN_AT_ONCE = 200  # records in one chunk of the answer
THREADS = 8  # questions of tails that catch up; of their own, so that they take none from other requests
RETRY_MS = 1_000  # after which a client connects again

T = TypeVar("T")
router = APIRouter(tags=["query"])


class TailService:
    """Shared by all tails of a process. If `hot` is None, every tail is refused."""

    def __init__(self, hot: HotStore | None, settings: Settings, registry: CollectorRegistry) -> None:
        self.settings = settings
        self.tails = None if hot is None else Tails(hot, settings)
        self.threads = anyio.CapacityLimiter(THREADS)
        Gauge("headwater_tails", "Tails that are open.", registry=registry).set_function(
            lambda: self.tails.count if self.tails else 0
        )
        self.sent = Counter("headwater_tail_records", "Records that tails have sent.", registry=registry)
        self.skipped = Counter(
            "headwater_tail_skipped", "Records left out of tails whose reader is slow.", registry=registry
        )
        self.refused = Counter("headwater_tail_refused", "Tails refused, as too many are open.", registry=registry)

    def stop(self) -> None:
        if self.tails is not None:
            self.tails.stop()

    def open(self, tenant: Tenant, kind: Kind, node: Node, places: Places | None, wake: Callable[[], None]) -> Tail:
        """Raises:
        Problem: 429, 503 or 400.
        """
        if self.tails is None:
            raise Problem(503, "store_unavailable", "this service has no hot store to follow: use /logs/search")
        try:
            return self.tails.open(tenant, kind, node, places, wake)
        except TooManyTails as error:
            self.refused.inc()
            tell = f"{error.limit} tails are open already: close one, or raise {error.setting}"
            raise Problem(429, "too_many_tails", tell, headers={"Retry-After": "5"}) from error


@dataclass(frozen=True, slots=True)
class History:
    """Stored records to send before live ones: event time from `start_ns` on."""

    start_ns: int | None
    tiers: frozenset[Tier]


@router.get("/logs/tail", summary="Follow logs", response_class=Response, responses=PROBLEMS, dependencies=KNOWN_ONLY)
async def tail_logs(
    request: Request,
    stores: Stores,
    reader: Reader,
    q: Text = "",
    start: Start = None,
    service: Service = [],  # noqa: B006 - FastAPI reads the default, nobody changes it
    env: Env = [],  # noqa: B006
    host: Host = [],  # noqa: B006
    level: Level = [],  # noqa: B006
    tiers: Tiers = DEFAULT_TIERS_TEXT,
) -> Response:
    """Server-sent events in the order of arrival. The data of a plain event is one record; its id, sent back as
    `Last-Event-ID`, goes on behind it. `start` first sends what is there already, oldest first. Events with a name:
    `begin`, `skipped` (`records`: so many were left out, as this reader is too slow), `away` (`reason`) and `back`,
    `partial` (`reason`) and `end`."""
    shared: TailService = request.app.state.tails
    began_at = read_id(request.headers.get(HEADER, ""))
    values, now_ns = {"service": service, "env": env, "host": host}, stores.clock()
    node = where(Kind.LOGS, q, values, level, now_ns, stores.settings)
    history = History(time_named("start", start, now_ns), tiers_of(tiers)) if start and start.strip() else None
    loop, woken = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended, and with it the reader
            loop.call_soon_threadsafe(woken.set)

    places = None if began_at is None else began_at.places
    try:
        tail = shared.open(reader.tenant, Kind.LOGS, node, places, wake)
    except QueryError as error:
        raise reading("q", q, error) from error
    following = Following(request, stores, shared, tail, woken)
    return EventStream(following.chunks(history, began_at))


class Following:
    """One connection."""

    def __init__(
        self, request: Request, stores: Backend, shared: TailService, tail: Tail, woken: asyncio.Event
    ) -> None:
        assert shared.tails is not None
        self._request, self._stores, self._shared, self._tails = request, stores, shared, shared.tails
        self._tail, self._woken = tail, woken
        self._settings = stores.settings
        self._away = ""

    async def chunks(self, history: History | None, began_at: EventId | None) -> AsyncGenerator[bytes, None]:
        """Until the client goes away, the key is revoked or the service stops."""
        try:
            yield b"retry: %d\n\n" % RETRY_MS
            async for chunk in self._before(history, began_at):
                yield chunk
            while not self._tails.stopping:
                async for chunk in self._more():
                    yield chunk
                if not await self._may_go_on():
                    yield event("end", {"reason": "the key may no longer read"})
                    return
            yield event("end", {"reason": "the service stops: connect again with the last id"})
        finally:
            self._tails.close(self._tail)

    async def _before(self, history: History | None, began_at: EventId | None) -> AsyncGenerator[bytes, None]:
        """Set the tail's first position, then send the history."""
        tail, resumes = self._tail, began_at is not None
        while tail.places is None and not self._tails.stopping:
            try:
                tail.places = await self._in_thread(lambda: self._tails.now(tail))
            except StoreError as error:
                async for chunk in self._pause(str(error)):
                    yield chunk
        if tail.places is None:
            return
        if history is None or (began_at is not None and began_at.history is None):
            yield self._back() + event("begin", {"resumed": resumes}, write_id(tail.places))
            return
        cursor = None if began_at is None else began_at.history
        yield self._back() + event("begin", {"resumed": resumes}, write_id(tail.places, cursor) if cursor else b"")
        async for chunk in self._history(history, replace_cursor(self._query(history), began_at), tail.places):
            yield chunk

    def _query(self, history: History) -> RecordQuery:
        return RecordQuery(
            self._tail.kind, self._tail.where, history.start_ns, None, HISTORY_ROWS, None, newest_first=False
        )

    async def _history(self, history: History, query: RecordQuery, places: Places) -> AsyncGenerator[bytes, None]:
        """Records before `places`, page by page; later records follow in order of arrival."""
        while not self._tails.stopping:
            search = functools.partial(self._stores.search.records, self._tail.tenant, query, history.tiers)
            try:
                page = await self._in_thread(search)
            except StoreError as error:
                async for chunk in self._pause(str(error)):
                    yield chunk
                continue
            except QueryError as error:  # the hot store can answer it, and the lake cannot
                yield event("partial", {"reason": str(error)})
                break
            if page.partial:
                reasons = "; ".join(f"{name}: {use.error}" for name, use in page.tiers.items() if use.error)
                yield event("partial", {"reason": reasons})
            old = [found for found in page.records if _is_before(found, places)]
            self._shared.sent.inc(len(old))
            texts = [told("", encode(found.fields), write_id(places, found.cursor)) for found in old]
            yield self._back() + b"".join(texts)
            if page.next is None:
                break
            query = replace(query, after=page.next)
        if not self._tails.stopping:
            yield heartbeat(write_id(places))

    async def _more(self) -> AsyncGenerator[bytes, None]:
        """Records that are ready; a heartbeat if none arrives within `tail_heartbeat_s`."""
        tail = self._tail
        if not tail.has_joined:
            try:
                items = await self._in_thread(lambda: self._tails.catch_up(tail))
            except StoreError as error:
                async for chunk in self._pause(str(error)):
                    yield chunk
                return
            for start in range(0, len(items), TAKEN_AT_ONCE):
                yield self._back() + self._written(items[start : start + TAKEN_AT_ONCE])
            return
        self._woken.clear()
        if items := tail.take(TAKEN_AT_ONCE):
            yield self._written(items)
            return
        with anyio.move_on_after(self._settings.tail_heartbeat_s) as waiting:
            await self._woken.wait()
        if waiting.cancelled_caught:
            yield heartbeat(write_id(tail.moved) if tail.moved is not None else b"")

    def _written(self, items: Sequence[Item]) -> bytes:
        parts = []
        for item in items:
            match item:
                case Record(text, places):
                    self._shared.sent.inc()
                    parts.append(told("", text, write_id(places)))
                case Skipped(records, places):
                    self._shared.skipped.inc(records)
                    parts.append(event("skipped", {"records": records}, write_id(places)))
                case Away(reason):
                    parts.append(self._gone(reason) if reason else self._back())
                case _:
                    parts.append(heartbeat(write_id(item.places)))
        return b"".join(parts)

    def _gone(self, reason: str) -> bytes:
        if self._away:
            return b""
        self._away = reason
        return event("away", {"reason": reason})

    def _back(self) -> bytes:
        if not self._away:
            return b""
        self._away = ""
        return event("back", {})

    async def _pause(self, reason: str) -> AsyncGenerator[bytes, None]:
        """Send `away` once; each further pause sends a heartbeat, which shows that the connection is alive."""
        yield self._gone(reason) or heartbeat()
        self._woken.clear()
        with anyio.move_on_after(max(1.0, self._settings.tail_poll_s)):
            while not self._tails.stopping:
                await self._woken.wait()
                self._woken.clear()

    async def _may_go_on(self) -> bool:
        """Whether the key may still read: it costs one `stat`."""
        try:
            principal = await requires(Role.READ)(self._request)
        except (Problem, ConfigError):
            return False
        return principal.tenant == self._tail.tenant

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await anyio.to_thread.run_sync(work, abandon_on_cancel=True, limiter=self._shared.threads)


def replace_cursor(query: RecordQuery, began_at: EventId | None) -> RecordQuery:
    return query if began_at is None else replace(query, after=began_at.history)


def _is_before(found: Found, places: Places) -> bool:
    """True if `found` is part of the history. Imported records always are: no live event carries them."""
    at = found.position
    return at.partition == IMPORTED or at.offset * LINES + at.index < places.get(at.partition, 0)
