"""One tail: what a feed offers -> a bounded queue of what its reader is to get, each with the places to go on at."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from contracts.hot import HotArrival
from contracts.messages import Kind
from contracts.query import All, Node
from contracts.tenants import Tenant
from lakehouse.match import record_matcher
from lakehouse.record_view import public_fields

Places = Mapping[int, int]  # next place by bus partition: everything before it was seen
_encode = msgspec.json.Encoder().encode


def furthest(one: Places, other: Places) -> Places:
    """By partition, the place that is further on."""
    return {part: max(one.get(part, 0), other.get(part, 0)) for part in sorted({*one, *other})}


@dataclass(frozen=True, slots=True)
class Look:
    """Everything from `start` to before `end`, read in the order of partition and place."""

    start: Places
    end: Places

    def places_after(self, partition: int, place: int) -> Places:
        """What has been seen when the record at `place` was the last one: all of the partitions before it, this one up
        to it, and nothing new of those behind it."""
        return {
            part: self.end[part] if part < partition else place + 1 if part == partition else self.start.get(part, 0)
            for part in self.end
        }


class Shown:
    """A record that several tails may show: its text is made once, and only when one of them does."""

    __slots__ = ("_kind", "_text", "arrival")

    def __init__(self, kind: Kind, arrival: HotArrival) -> None:
        self._kind, self.arrival = kind, arrival
        self._text = b""

    @property
    def text(self) -> bytes:
        """The public fields as JSON, without a line break."""
        if not self._text:
            self._text = _encode(public_fields(self._kind, self.arrival.record))
        return self._text


@dataclass(frozen=True, slots=True)
class Record:
    """A record for the reader. `places` is where to go on after it."""

    text: bytes
    places: Places


@dataclass(frozen=True, slots=True)
class Skipped:
    """So many matching records were left out here, as the reader was too slow."""

    records: int
    places: Places


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Nothing matched up to `places`."""

    places: Places


@dataclass(frozen=True, slots=True)
class Away:
    """The hot store cannot be read, for `reason`; "" when it can again."""

    reason: str


Item = Record | Skipped | PassedOver | Away


@dataclass(slots=True)
class _Gap:
    """Where records were left out: it stands in the queue, and grows until there is room again."""

    records: int
    partition: int
    place: int
    look: Look


class Tail:
    """A queue between the thread that looks and one reader.

    Attributes:
        places: While it has not joined: where it goes on; None is now.
        is_level, steps: Whether the last step reached its feed, and how many in a row did.
        has_joined: Its feed offers it what comes.
    """

    def __init__(
        self, tenant: Tenant, kind: Kind, where: Node, places: Places | None, limit_bytes: int, wake: Callable[[], None]
    ) -> None:
        self.tenant, self.kind, self.where, self.places = tenant, kind, where, places
        self.is_level, self.steps, self.has_joined, self.closed = False, 0, False, False
        self.wake = wake
        self._matches = None if where == All() else record_matcher(where, kind)
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._queue: deque[tuple[Shown, Look] | _Gap] = deque()
        self._bytes = 0
        self._gap: _Gap | None = None
        self._floor: Places = {}
        self._moved: Places | None = None
        self._away = self._told_away = ""

    def join(self, places: Places) -> None:
        """From now on its feed, which is at `places`, offers what comes. This tail may be further on."""
        own = self.places or {}
        self._floor = {part: place for part, place in own.items() if place > places.get(part, 0)}
        self.has_joined = True

    def record(self, seen: Shown, look: Look) -> Record:
        after = look.places_after(seen.arrival.partition, seen.arrival.place)
        return Record(seen.text, furthest(after, self._floor) if self._floor else after)

    def offer(self, found: Sequence[Shown], look: Look, is_tested: bool) -> None:
        """Queue what matches of one look, all of it or nothing: a look may bring more at once than the limit. Never
        blocks for the reader."""
        matches = None if is_tested else self._matches
        with self._lock:
            if self._bytes <= self._limit_bytes // 2:
                self._gap = None
            skips = self._gap is not None or self._bytes > self._limit_bytes
            for shown in found:
                arrival = shown.arrival
                if self._floor and arrival.place < self._floor.get(arrival.partition, 0):
                    continue
                if matches is None or matches(arrival.record):
                    self._skip(arrival, look) if skips else self._add(shown, look)
            self._moved = look.end
            has_some = bool(self._queue)
        if has_some:
            self.wake()

    def _add(self, shown: Shown, look: Look) -> None:
        self._queue.append((shown, look))
        self._bytes += len(shown.text)

    def _skip(self, arrival: HotArrival, look: Look) -> None:
        if self._gap is None:
            self._gap = _Gap(0, arrival.partition, arrival.place, look)
            self._queue.append(self._gap)
        gap = self._gap
        gap.records, gap.partition, gap.place, gap.look = gap.records + 1, arrival.partition, arrival.place, look

    def note_away(self, reason: str) -> None:
        with self._lock:
            changed, self._away = self._away != reason, reason
        if changed:
            self.wake()

    def take(self, limit: int) -> Sequence[Item]:
        """Up to `limit` records that wait, and what is to be told besides. [] when there is nothing."""
        items: list[Item] = []
        with self._lock:
            while self._queue and len(items) < limit:
                items.append(self._item(self._queue.popleft()))
            if self._away != self._told_away:
                self._told_away = self._away
                items.append(Away(self._away))
        return items

    def _item(self, entry: tuple[Shown, Look] | _Gap) -> Item:
        if isinstance(entry, _Gap):
            if entry is self._gap:
                self._gap = None
            return Skipped(entry.records, furthest(entry.look.places_after(entry.partition, entry.place), self._floor))
        self._bytes -= len(entry[0].text)
        return self.record(*entry)

    @property
    def moved(self) -> Places | None:
        """How far everything was seen; None while some of it waits in the queue, or none was."""
        with self._lock:
            if self._queue or self._moved is None:
                return None
            return furthest(self._moved, self._floor)
