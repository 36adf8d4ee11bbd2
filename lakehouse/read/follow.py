"""Follow: the hot store -> records in the order of their arrival, for any number of tails by one look.

A *feed* is a tenant and a kind that somebody follows. One thread looks at the hot store every `HEADWATER_TAIL_POLL_S`:
once for the checkpoints of a kind, and once a feed for what came since. Each tail of the feed tests those records by
its own query. The order is that of the bus, partition by partition; event times play no part.

A tail that begins at an older place *catches up* by questions of its own, as fast as its reader takes the answers, and
then joins its feed. A reader that is slower than its feed loses records: a tail holds `HEADWATER_TAIL_BUFFER_KIB` at
most, counts what it left out and says so. Nothing is lost or doubled otherwise: see `Look.places_after`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence

from contracts.errors import QueryError, StoreError
from contracts.hot import LINES, HotStore
from contracts.messages import Kind
from contracts.query import All, Node, Or
from contracts.settings import Settings
from contracts.tenants import Tenant
from lakehouse.read.tails import Item, Look, PassedOver, Places, Shown, Tail, furthest

LOOK_ROWS = 5_000  # of one question to the store: bounds its memory and how long others wait
MOST_QUERIES = 8  # of one feed that the store tests; past it, the store gives everything
PATIENCE = 3  # attempts to join a feed that moves on meanwhile, before it is held for the last step

log = logging.getLogger("headwater.tail")


class TooManyTails(Exception):
    """A limit is reached. `setting` is its name."""

    def __init__(self, setting: str, limit: int) -> None:
        super().__init__(f"{limit} tails are open")
        self.setting, self.limit = setting, limit


class Feed:
    """What the tails of a tenant and kind share."""

    def __init__(self, tenant: Tenant, kind: Kind) -> None:
        self.tenant, self.kind = tenant, kind
        self.lock = threading.Lock()  # one look at a time; whoever joins waits for its end
        self.places: Places | None = None  # everything before was looked at; None before the first look
        self.tails: list[Tail] = []  # that have joined


class Tails:
    """Thread-safe. Starts a thread with the first tail, which ends with the last one."""

    def __init__(self, hot: HotStore, settings: Settings) -> None:
        self._hot, self._settings = hot, settings
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._feeds: dict[tuple[Tenant, Kind], Feed] = {}
        self._open: list[Tail] = []
        self._thread: threading.Thread | None = None
        self.stopping = False

    @property
    def count(self) -> int:
        return len(self._open)

    def open(self, tenant: Tenant, kind: Kind, where: Node, places: Places | None, wake: Callable[[], None]) -> Tail:
        """A tail from `places` on; None is from now on. Close it, whatever comes. `wake` is called from other threads.

        Raises:
            TooManyTails: As many are open as may be, of this tenant or of all.
            QueryError: The query has no answer as written.
        """
        self._hot.count(tenant, kind, where, None, None, ())  # of no day: tests the query, and reads nothing
        settings = self._settings
        with self._lock:
            if len(self._open) >= settings.tail_connections:
                raise TooManyTails("HEADWATER_TAIL_CONNECTIONS", settings.tail_connections)
            if sum(tail.tenant == tenant for tail in self._open) >= settings.tail_tenant_connections:
                raise TooManyTails("HEADWATER_TAIL_TENANT_CONNECTIONS", settings.tail_tenant_connections)
            tail = Tail(tenant, kind, where, places, settings.tail_buffer_kib << 10, wake)
            self._open.append(tail)
            self._feeds.setdefault((tenant, kind), Feed(tenant, kind))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tails", daemon=True)
                self._thread.start()
        return tail

    def close(self, tail: Tail) -> None:
        """Idempotent."""
        with self._lock:
            tail.closed = True
            if tail in self._open:
                self._open.remove(tail)
            feed = self._feeds.get((tail.tenant, tail.kind))
            if feed is not None and tail in feed.tails:
                feed.tails = [each for each in feed.tails if each is not tail]
            if not any((each.tenant, each.kind) == (tail.tenant, tail.kind) for each in self._open):
                self._feeds.pop((tail.tenant, tail.kind), None)
            self._changed.notify_all()

    def stop(self) -> None:
        """Wake every tail, so that its reader sees `stopping`. Idempotent."""
        with self._lock:
            self.stopping = True
            tails = list(self._open)
            self._changed.notify_all()
        for tail in tails:
            tail.wake()

    def now(self, tail: Tail) -> Places:
        """Where the feed of `tail` is: what comes later is not seen yet.

        Raises:
            StoreError: The hot store does not say.
        """
        feed = self._feed(tail)
        with feed.lock:
            return self._placed(feed)

    def catch_up(self, tail: Tail) -> Sequence[Item]:
        """One step of a tail that has not joined: what comes next, at most `LOOK_ROWS` records. Blocks.

        Raises:
            StoreError: The hot store cannot be read now; the same call may be repeated.
        """
        feed = self._feed(tail)
        if tail.places is None:
            tail.places = self.now(tail)
        if tail.steps >= PATIENCE:
            with feed.lock:
                return self._step(tail, feed, self._placed(feed))
        with feed.lock:
            end = self._placed(feed)
        items = self._step(tail, feed, end, joins=False)
        with feed.lock:
            if tail.is_level and feed.places == end:
                self._join(tail, feed)
        return items

    def _step(self, tail: Tail, feed: Feed, end: Places, joins: bool = True) -> Sequence[Item]:
        start = tail.places or {}
        found, look = self._read(feed, tail.where, start, end)
        tail.places, tail.is_level = look.end, len(found) < LOOK_ROWS
        tail.steps = tail.steps + 1 if tail.is_level else 0
        if joins and tail.is_level:
            self._join(tail, feed)
        return [*(tail.record(seen, look) for seen in found), PassedOver(look.end)]

    def _join(self, tail: Tail, feed: Feed) -> None:
        with self._lock:
            if not tail.closed:
                tail.join(feed.places or {})
                feed.tails = [*feed.tails, tail]

    def _feed(self, tail: Tail) -> Feed:
        with self._lock:
            return self._feeds.get((tail.tenant, tail.kind)) or Feed(tail.tenant, tail.kind)

    def _placed(self, feed: Feed) -> Places:
        if feed.places is None or not feed.tails:  # without a tail that joined, nobody moves it on
            feed.places = _places(self._hot.checkpoints(feed.kind))
        return feed.places

    def _read(self, feed: Feed, where: Node, start: Places, end: Places) -> tuple[list[Shown], Look]:
        """What stands between two places, and how far that goes: a full answer ends at its last record."""
        if not any(start.get(partition, 0) < place for partition, place in end.items()):
            return [], Look(start, furthest(start, end))
        found = self._hot.arrivals(feed.tenant, feed.kind, where, start, end, LOOK_ROWS)
        look = Look(start, furthest(start, end))
        if len(found) == LOOK_ROWS:
            look = Look(start, look.places_after(found[-1].partition, found[-1].place))
        return [Shown(feed.kind, arrival) for arrival in found], look

    # What follows is the thread's.

    def _run(self) -> None:
        while True:
            with self._lock:
                if self.stopping or not self._feeds:
                    self._thread = None
                    return
                feeds = list(self._feeds.values())
            if not self._look(feeds):
                with self._lock:
                    self._changed.wait_for(lambda: self.stopping or not self._feeds, self._settings.tail_poll_s)

    def _look(self, feeds: Iterable[Feed]) -> bool:
        """One look at everything that is followed; True if there is more already."""
        more = False
        checkpoints: dict[Kind, Places | StoreError] = {}
        for feed in feeds:
            if not feed.tails:  # all of them catch up by themselves
                continue
            if feed.kind not in checkpoints:
                checkpoints[feed.kind] = self._checkpoints(feed.kind)
            end = checkpoints[feed.kind]
            try:
                if isinstance(end, StoreError):
                    raise end
                more = self._look_at(feed, end) or more
            except StoreError as error:
                _tell(feed.tails, str(error))
            except Exception:  # one feed must not end the thread of all
                log.exception("a look for tails failed")
                _tell(feed.tails, "the service failed to read what arrived; see its log")
        return more

    def _checkpoints(self, kind: Kind) -> Places | StoreError:
        try:
            return _places(self._hot.checkpoints(kind))
        except StoreError as error:
            return error
        except Exception as error:  # nor may one kind
            log.exception("the places of the hot store cannot be read for tails")
            return StoreError(f"the hot store does not say how far it is: {type(error).__name__}; see the log")

    def _look_at(self, feed: Feed, end: Places) -> bool:
        with feed.lock:
            start, tails = self._placed(feed), feed.tails
            nodes = list(dict.fromkeys(tail.where for tail in tails))
            try:
                found, look = self._read(feed, _union(nodes), start, end)
            except QueryError:  # each is sound, and all together are too much for the engine
                found, look = self._read(feed, All(), start, end)
                nodes = [All(), *nodes]
            for tail in tails:
                tail.offer(found, look, is_tested=len(nodes) == 1)
            feed.places = look.end
        lagging = [part for part, place in start.items() if end.get(part, 0) < place]
        _tell(tails, "the hot store is being filled again: it lacks what was shown already" if lagging else "")
        return len(found) == LOOK_ROWS


def _places(checkpoints: Mapping[int, int]) -> Places:
    return {partition: offset * LINES for partition, offset in checkpoints.items()}


def _union(nodes: Sequence[Node]) -> Node:
    if len(nodes) == 1:
        return nodes[0]
    return All() if All() in nodes or len(nodes) > MOST_QUERIES else Or(tuple(nodes))


def _tell(tails: Iterable[Tail], reason: str) -> None:
    for tail in tails:
        tail.note_away(reason)
