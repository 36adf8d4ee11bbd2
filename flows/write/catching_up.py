"""Catching up: a store that was away, at its own checkpoint -> at the place of the flow, without the flow's reader.

The hot store is fed from the lake: rows by their places on the bus, so that nothing is parsed again and the bus need
not hold them any more. Where the lake lacks them (it is away too, or behind), and always for the lake, a second reader
of the bus partition feeds the one store that lags. That reader decides on repeats as the first one did, from the same
headers, and writes no dead letters: the first one has written them before any store saw the batch.

Each pass feeds what lay between the store and the flow when it began. Once a pass is short, the items of the flow are
kept meanwhile (`Lane.meet`), and the last pass ends where they begin. Any crash leaves a store at its own checkpoint.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.settings import Settings
from flows.arrivals import Arrival, Item, Lost
from flows.connections import Connections
from flows.parse.batch import Parse
from flows.read.pace import Pace
from flows.read.places import known_start
from flows.read.source import BusPart
from flows.write.erasing import Erasing
from flows.write.lanes import Lane
from flows.write.parts import Part
from flows.write.sinks import HotPart, through
from lakehouse.sql.coverage import between_sql
from lakehouse.sql.literals import day_literal
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.rebuild.lake_rows import LakeRows

MEET_S = 2.0  # a pass that takes so long at most is the last but one
STEADY = 0.8  # and so is one that takes more than this share of the pass before: passes grow no shorter any more
SLICE_ROWS = 500_000  # of the lake, sorted at once, on disk
LOOKS = 3  # at a lake that is to commit what the hot store is about to be fed
FULL_DAYS = 2  # arrival days that are fed to the hot store; older ones are left to the lake, and to a rebuild
LATE_S, REST_S = 1.5, 0.25

Gaps = Mapping[int, tuple[int, int]]  # by bus partition: next offset that the store lacks, next offset of the flow

log = logging.getLogger("headwater.flows")


class Late:
    """Tells whether the flow itself is late. While it is, a feed rests between its writes, as search comes first.
    Thread-safe."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns, clock: Callable[[], float] = time.monotonic) -> None:
        self._now_ns, self._clock = now_ns, clock
        self._age_s, self._at_s = 0.0, 0.0

    def saw(self, items: Sequence[Item]) -> None:
        """Items of the flow, as they pass."""
        last = items[-1] if items else None
        if isinstance(last, Batch) and not last.tick:
            self._age_s, self._at_s = (self._now_ns() - last.header.received_ns) / 1e9, self._clock()

    def rest(self, worked_s: float, stop: threading.Event) -> None:
        """Wait about as long as was worked, if the flow is late."""
        if self._age_s > LATE_S and self._clock() - self._at_s < LATE_S:
            stop.wait(min(worked_s, REST_S))


@dataclass(frozen=True, slots=True)
class Feeding:
    """Connections and functions that the feeds use. `parse`: of `kind`; `late`: of the worker."""

    connections: Connections
    kind: Kind
    stop: threading.Event
    parse: Parse
    late: Late

    def erasing(self, is_hot: bool) -> Erasing:
        """Drops erased records and writes no dead letters. The feed of the hot store uses the erasures that are known
        already, so that it works while the lake is away: see `lakehouse.lake.erasure_looks`."""
        connections = self.connections
        known = (lambda: connections.known_tombstones) if is_hot else (lambda: connections.tombstones)
        return Erasing(known, self.stop, lambda item: [item])


class LakeFeed:
    """Feeds the lake, from the bus."""

    def __init__(self, means: Feeding) -> None:
        self._means = means

    def __call__(self, part: Part, lane: Lane) -> None:
        """Feed `part` until it has met the flow, or the flow ends.

        Raises:
            StoreError, BusError: It cannot be fed now; the next try goes on at the checkpoint.
        """
        with contextlib.closing(BusFeed(self._means, lane)) as bus:
            _passes(part, lane, lambda done, live: _gaps_fed(bus, part, done, live))


class HotFeed:
    """Feeds the hot store: from the lake as far as that has come, then from the bus."""

    def __init__(self, means: Feeding, lake: Lane) -> None:
        self._means, self._lake = means, lake

    def __call__(self, part: Part, lane: Lane) -> None:
        """As `LakeFeed`."""
        assert isinstance(part, HotPart)
        with contextlib.closing(BusFeed(self._means, lane, self._check_lost)) as bus:

            lake_is_of_use = True  # False after a look that failed or hung: another one would make each pass a long one

            def fed(done: Mapping[int, int], live: Mapping[int, int]) -> Mapping[int, int]:
                nonlocal lake_is_of_use
                if lake_is_of_use:
                    came = self._from_lake(part, lane, done, live)
                    done, lake_is_of_use = came or done, came is not None and self._lake.is_live
                if lake_is_of_use and not lane.is_meeting:
                    return done  # the lake has the rest in a moment
                return _gaps_fed(bus, part, done, live)

            _passes(part, lane, fed)

    def _from_lake(
        self, part: HotPart, lane: Lane, done: Mapping[int, int], live: Mapping[int, int]
    ) -> Mapping[int, int] | None:
        """Feed `part` from the lake. Returns the next offsets that it reached; None: the lake cannot be read."""
        with contextlib.closing(Care(_impatient(self._means.connections.settings))) as care:
            try:
                rows = self._pinned(care, live)
            except StoreError as error:
                log.warning("%s is fed from the bus, as the lake cannot be read: %s", lane.name, error)
                return None
            ends = {each: min(end, rows.landed.get(each, 0)) for each, end in live.items()}
            gaps = gaps_between(done, ends)
            if gaps:
                LakeRange(self._means, rows, gaps).feed(part, lane)
        return {**done, **{each: end for each, (_, end) in gaps.items()}}

    def _pinned(self, care: Care, live: Mapping[int, int]) -> LakeRows:
        """Asks `connections.lake` first: after a failure its calls fail at once for some seconds, also those of the
        second reader."""
        lake, settings = self._means.connections.lake, self._means.connections.settings
        for look in range(LOOKS):
            lake.landed(self._means.kind)
            if not self._lake.settle(settings.store_patience_s):
                lake.landed(self._means.kind)
            rows = LakeRows(care, self._means.kind)
            if all(rows.landed.get(each, 0) >= end for each, end in live.items()) or not self._lake.is_live:
                break
            self._means.stop.wait(0.05 * look)
        return rows

    def _check_lost(self, lost: Lost) -> None:
        """Nothing that the lake has may count as lost for the hot store."""
        if self._means.connections.lake.landed(self._means.kind).get(lost.partition, 0) > lost.first:
            raise StoreError(f"offset {lost.first} has left the bus, and the lake has it", retry_after_s=1)


@dataclass(frozen=True, slots=True)
class LakeRange:
    """Rows of the lake at the places `gaps`, of the newest arrival days."""

    means: Feeding
    rows: LakeRows
    gaps: Gaps

    def feed(self, part: HotPart, lane: Lane) -> None:
        """Give all of them to `part`, and commit."""
        days = self.rows.days(self._where(self.gaps))
        since = max(days, default=dt.date.max) - dt.timedelta(days=FULL_DAYS - 1)
        self._leave_to_the_lake(part, lane, [day for day in days if day < since])
        total = sum(rows for day, rows in days.items() if day >= since)
        erasing = self.means.erasing(is_hot=False)
        for gaps in sliced(self.gaps, max(1, math.ceil(total / SLICE_ROWS))):
            for batches in self.rows.batches(f"{self._where(gaps)} AND day >= {day_literal(since)}"):
                self._give(part, lane, [item for batch in batches for item in erasing(batch)])
            self._give(part, lane, [through(self.means.kind, each, end) for each, (_, end) in gaps.items()])

    def _leave_to_the_lake(self, part: HotPart, lane: Lane, older: Sequence[dt.date]) -> None:
        """Remove from the hot store the days that it holds in part; the batch tiers may rebuild them."""
        if not older:
            return
        log.warning("%s: %d days up to %s are left to the lake, and to a rebuild", lane.name, len(older), max(older))
        for held in self.means.connections.hot.held(self.means.kind):
            if held.day in older:
                part.forget(held.day)

    def _where(self, gaps: Gaps) -> str:
        return between_sql(
            {each: low for each, (low, _) in gaps.items()}, {each: high for each, (_, high) in gaps.items()}
        )

    def _give(self, part: HotPart, lane: Lane, items: list[Item]) -> None:
        if lane.is_over:  # what `items` lack would be passed over
            raise StoreError("the flow ends")
        began_s = time.monotonic()
        part.write_batch(items)
        part.settle()
        _check(part, lane)
        self.means.late.rest(time.monotonic() - began_s, self.means.stop)


class BusFeed:
    """A second reader of the partitions. Not thread-safe.

    Args:
        check_lost: For the hot store: raises where offsets that the bus has no more are not lost for it.
    """

    def __init__(self, means: Feeding, lane: Lane, check_lost: Callable[[Lost], None] | None = None) -> None:
        self._means, self._lane, self._check_lost = means, lane, check_lost
        self._erasing = means.erasing(is_hot=check_lost is not None)
        self._pace = Pace(means.stop, means.connections.settings.flow_poll_ms / 1000)
        self._readers: dict[int, BusPart] = {}
        self._ahead: dict[int, list[Arrival | Item]] = {}  # were read, and lie at or past the end of a pass

    def feed(self, part: Part, gaps: Gaps) -> None:
        """Give `part` what lies in `gaps`. Each begins where the one before ended."""
        left = dict(gaps)
        while left:
            for partition, (start, end) in list(left.items()):
                if self._lane.is_over:
                    raise StoreError("the flow ends")
                began_s = time.monotonic()
                items = [item for arrived in self._next(partition, start, end) for item in self._passed(arrived)]
                part.write_batch(items)
                _check(part, self._lane)
                if self._reached(partition) >= end:
                    del left[partition]
                self._means.late.rest(time.monotonic() - began_s, self._means.stop)

    def _next(self, partition: int, start: int, end: int) -> Sequence[Arrival | Item]:
        reader = self._readers.get(partition) or self._open(partition, start)
        try:
            found = self._ahead.pop(partition, None) or reader.next_batch()
        except StopIteration:
            raise StoreError("the flow ends") from None
        here = [each for each in found if _place(each) < end]
        if ahead := list(found[len(here) :]):
            self._ahead[partition] = ahead
        return here

    def _open(self, partition: int, offset: int) -> BusPart:
        means = self._means
        start = replace(known_start(means.connections, means.kind, partition), offset=offset)
        reader = BusPart(means.connections, means.kind, partition, start, means.stop, self._pace)
        self._readers[partition] = reader
        return reader

    def _passed(self, arrived: Arrival | Item) -> Sequence[Item]:
        if isinstance(arrived, Lost) and self._check_lost is not None:
            self._check_lost(arrived)
        return self._erasing(self._means.parse(arrived))

    def _reached(self, partition: int) -> int:
        ahead = self._ahead.get(partition)
        return _place(ahead[0]) if ahead else self._readers[partition].snapshot()

    def close(self) -> None:
        for reader in self._readers.values():
            reader.close()


def _passes(part: Part, lane: Lane, fed: Callable[[Mapping[int, int], Mapping[int, int]], Mapping[int, int]]) -> None:
    """Call `fed(done, live)`, which says how far it came, until the flow is met."""
    done: Mapping[int, int] = dict(part.checkpoints())
    took_s = before_s = math.inf
    while not lane.is_over:
        meeting = took_s < MEET_S or (before_s < math.inf and took_s > STEADY * before_s)
        live = lane.meet() if meeting else lane.live()
        began_s = time.monotonic()
        done = fed(done, live)
        _check(part, lane)
        if meeting:
            return
        before_s, took_s = took_s, time.monotonic() - began_s


def _gaps_fed(bus: BusFeed, part: Part, done: Mapping[int, int], live: Mapping[int, int]) -> Mapping[int, int]:
    gaps = gaps_between(done, live)
    bus.feed(part, gaps)
    return {**done, **{each: end for each, (_, end) in gaps.items()}}


def _check(part: Part, lane: Lane) -> None:
    if part.halted:
        raise StoreError(f"{lane.name} was given up while it was fed")


def _impatient(settings: Settings) -> Settings:
    """All requests to S3 get the time-out of queries: when the lake hangs, the bus has the same records."""
    timeout_s = min(settings.s3_query_timeout_s, settings.s3_write_timeout_s)
    return settings.model_copy(update={"s3_write_timeout_s": timeout_s})


def gaps_between(done: Mapping[int, int], live: Mapping[int, int]) -> Gaps:
    return {each: (done.get(each, 0), end) for each, end in sorted(live.items()) if done.get(each, 0) < end}


def sliced(gaps: Gaps, count: int) -> Iterator[Gaps]:
    """`gaps` in `count` steps or fewer, each of which goes on in all partitions alike."""
    before = {each: low for each, (low, _) in gaps.items()}
    for step in range(1, count + 1):
        after = {each: low + (high - low) * step // count for each, (low, high) in gaps.items()}
        if found := gaps_between(before, after):
            yield found
        before = after


def _place(arrived: Arrival | Item) -> int:
    if isinstance(arrived, Arrival):
        return arrived.message.offset
    return arrived.first if isinstance(arrived, Lost) else arrived.offset
