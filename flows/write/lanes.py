"""Lanes: items of a flow -> one store's sink, on a thread of the lane's own.

So a store that is slow, or away, delays no other store. A lane whose sink gives up, or is at one write for too long
while the next items find no room, leaves its store behind: it drops what it holds in memory and from then on only notes
how far the flow has come. Its thread opens the store again as soon as that is possible, feeds it from its own
checkpoint (`catching_up`), and takes items of the flow again once the store has met them.

Memory: at most `QUEUE_ROWS` rows or `QUEUE_BYTES` wait in a lane, beside what its sink holds.
"""

from __future__ import annotations

import enum
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from contracts.batches import Batch
from contracts.errors import BusError, StoreError
from flows.arrivals import Item
from flows.patience import FIRST_PAUSE_S, LONGEST_PAUSE_S
from flows.write.parts import Part

QUEUE_ROWS = 20_000
QUEUE_BYTES = 64 << 20  # of payloads, before compression
NEAR_HANG_S = 30.0  # longest write to a folder
SLOW_HANG_S = 15.0  # longest write to an engine whose writes usually take long
USUAL_TIMES, USUAL_JOBS = 3, 20  # a write may take three times as long as the longest of the last twenty
TURN_S = 0.2  # the worker leaves its lanes the interpreter for so long: threads that share it take more time in total
CLOSE_S = 6.0  # for the last commit, when the flow ends
AWAY_CLOSE_S = 1.0  # the same for a store that is away: the next start feeds it from its checkpoint

log = logging.getLogger("headwater.flows")


class State(enum.Enum):
    """What a lane does with items of the flow. LIVE: writes them. BEHIND: drops them, and is being fed from its
    checkpoint. MEETING: keeps them, and is being fed the last items before them."""

    LIVE = enum.auto()
    BEHIND = enum.auto()
    MEETING = enum.auto()


@dataclass(slots=True)
class _Job:
    """What the thread is to do; `items` None: `action`."""

    items: list[Item] | None = None
    action: Callable[[], object] | None = None
    rows: int = 0
    bytes: int = 0
    done: bool = False


class Lane:
    """See the module. Every method but those of `Feeding` is called by the flow's worker or by another lane.

    Args:
        name: For messages, as "the lake of logs".
        open_part: Opens the sink of the store; may block.
        feed: Brings an opened sink to where the flow is; see `catching_up`.
        patience_s: How long one write may take while the next items have no room.
        is_near: Whether the store is a folder of this machine: that does not hang, it is slow at most.
    """

    def __init__(
        self,
        name: str,
        open_part: Callable[[], Part],
        feed: Callable[[Part, Lane], None],
        stop: threading.Event,
        patience_s: float,
        is_near: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._open_part, self._feed, self._stop, self._patience_s = open_part, feed, stop, patience_s
        self._clock = clock
        self._hang_s = NEAR_HANG_S if is_near else patience_s
        self._took_s: deque[float] = deque(maxlen=USUAL_JOBS)  # the last jobs
        self._changed = threading.Condition()
        self._state = State.LIVE
        self._jobs: deque[_Job] = deque()
        self._rows = self._bytes = 0
        self._live: dict[int, int] = {}
        self._met: set[int] = set()  # partitions of which the sink has all that lies before the next item
        self._part: Part | None = None
        self._busy_s: float | None = None  # since when the thread has been at one job
        self._behind_s = 0.0
        self._closing = self._has_ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"lane: {name}", daemon=True)
        self._thread.start()

    # --- for the worker, and for other lanes

    @property
    def is_live(self) -> bool:
        return self._state is State.LIVE

    def live(self) -> Mapping[int, int]:
        """Next offset by bus partition: how far the flow has come."""
        with self._changed:
            return dict(self._live)

    def put(self, items: Sequence[Item]) -> None:
        """Take items of the flow. Blocks for the patience at most.

        Raises:
            Exception: What ended the thread of this lane, and must end the flow.
        """
        with self._changed:
            self._raise()
            new = [item for item in items if item.partition not in self._live or not _is_tick(item)]
            is_queued = self._queue(new) if new and self._state is not State.BEHIND else False
            for item in items:  # before this thread waits: the feed asks how far the flow has come
                self._live[item.partition] = max(self._live.get(item.partition, 0), item.next_offset)
            if is_queued:
                self._take_turns()

    def do(self, action: Callable[[Part], object], within_s: float = math.inf) -> bool:
        """Let the sink do `action` after all that it was given. Waits for the patience, or `within_s`; False: not done
        yet. On a lane that ends, this waits for the last commit instead.

        Raises:
            Exception: As `put`.
        """
        with self._changed:
            if self._closing:
                self._await(lambda: self._has_ended, leaves=False)
                return self._has_ended
            self._raise()
            if self._state is not State.LIVE:
                return False
            job = _Job(action=lambda: self._with_part(action))
            self._jobs.append(job)
            self._changed.notify_all()
            self._await(lambda: job.done, leaves=False, within_s=within_s)
            self._raise()
            return job.done

    def settle(self, within_s: float = math.inf) -> bool:
        """Let the sink commit all that it was given; False: the store is behind, or slow."""
        return self.do(lambda part: part.settle(), within_s)

    def close(self) -> None:
        """End with a last commit. Waits for it for `CLOSE_S`; a store that hangs is left as it is."""
        with self._changed:
            self._closing = True
            hangs = self._busy_s is not None and self._clock() - self._busy_s >= self._limit_s()
            is_away = hangs or self._state is not State.LIVE
            self._changed.notify_all()
        self._thread.join(AWAY_CLOSE_S if is_away else CLOSE_S)
        if self._thread.is_alive():
            log.warning("%s did not answer while the flow ended: the next start goes on at its checkpoint", self.name)

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _queue(self, items: list[Item]) -> bool:
        """False: the store is behind."""
        batches = [item for item in items if isinstance(item, Batch)]
        job = _Job(items, rows=sum(len(each.rows) for each in batches), bytes=sum(_size(each) for each in batches))
        self._await(lambda: not self._jobs or (self._rows < QUEUE_ROWS and self._bytes < QUEUE_BYTES))
        self._raise()
        if self._state is State.BEHIND:
            return False
        self._jobs.append(job)
        self._rows += job.rows
        self._bytes += job.bytes
        self._changed.notify_all()
        return True

    def _take_turns(self) -> None:
        """Leave the thread the interpreter, for `TURN_S` at most."""
        now_s = self._clock()
        if now_s - (self._busy_s or now_s) < TURN_S:
            self._changed.wait_for(self._is_idle, TURN_S)

    def _is_idle(self) -> bool:
        return (not self._jobs and self._busy_s is None) or self._state is not State.LIVE or self._error is not None

    def _await(self, condition: Callable[[], bool], leaves: bool = True, within_s: float = math.inf) -> None:
        """Wait until `condition` holds or the store is behind. When one job outlasts the patience, the store is left
        behind, or this call returns if `leaves` is False."""
        begun_s = self._clock()
        while not condition() and self._state is not State.BEHIND and self._error is None:
            now_s = self._clock()
            since_s = begun_s if self._state is State.MEETING else (self._busy_s or now_s)
            left_s = min(since_s + self._limit_s(), begun_s + within_s) - now_s
            if self._stop.is_set() and self._part is not None and self._part.halted:
                return
            if left_s > 0:
                self._changed.wait(min(left_s, 0.5))
            elif leaves:
                self._leave(f"it got nothing done for {now_s - since_s:.1f} s")
            else:
                return

    def _limit_s(self) -> float:
        """How long one write may take. On a busy machine writes usually take long, and the store is not away."""
        if self._state is State.MEETING or self._stop.is_set():
            return self._patience_s
        return max(self._hang_s, min(SLOW_HANG_S, USUAL_TIMES * max(self._took_s, default=0.0)))

    def _leave(self, why: str) -> None:
        """Within the lock."""
        if self._state is State.LIVE:
            self._behind_s = self._clock()
            log.error("%s is left behind, and is fed again from its checkpoint when it answers: %s", self.name, why)
        self._state = State.BEHIND
        self._jobs.clear()
        self._rows = self._bytes = 0
        self._met.clear()
        self._changed.notify_all()

    # --- for the feed, on the lane's thread

    @property
    def is_over(self) -> bool:
        """Whether the flow ends."""
        return self._closing or self._stop.is_set()

    @property
    def is_meeting(self) -> bool:
        return self._state is State.MEETING

    def meet(self) -> Mapping[int, int]:
        """From now on items are kept; the sink is to be fed all before these next offsets, then `_feed` returns."""
        with self._changed:
            self._state = State.MEETING
            return dict(self._live)

    # --- the thread

    def _run(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
        self._end()

    def _turn(self) -> bool:
        if self._state is not State.LIVE:
            self._fetch_up()
        elif self._part is None:
            self._open()
        else:
            return self._serve(self._part)
        return not (self.is_over and self._closing)

    def _open(self) -> None:
        with self._changed:
            self._busy_s = self._clock()
        try:
            self._part = self._open_part()
        except (StoreError, BusError) as error:
            with self._changed:
                self._leave(str(error))
            return
        finally:
            with self._changed:
                self._busy_s = None
                self._changed.notify_all()
        self._check()

    def _serve(self, part: Part) -> bool:
        """One job, or what is due; False: the lane ends."""
        with self._changed:
            if not self._jobs and not self._closing:
                due_s = part.due_s()
                if due_s is None or due_s > 0:
                    self._changed.wait(due_s)
            if self._state is not State.LIVE:
                return True
            if not self._jobs and self._closing:
                return False
            job = self._jobs.popleft() if self._jobs else _Job([])
            self._busy_s = self._clock()
        self._work(part, job)
        with self._changed:
            self._rows, self._bytes = max(0, self._rows - job.rows), max(0, self._bytes - job.bytes)
            if self._busy_s is not None and self._state is State.LIVE:
                self._took_s.append(self._clock() - self._busy_s)
            self._busy_s = None
            job.done = not part.halted
            self._changed.notify_all()
        self._check()
        return True

    def _work(self, part: Part, job: _Job) -> None:
        if job.action is not None:
            job.action()
        elif job.items is not None and not self._lacks(part, job.items):
            part.write_batch(job.items)

    def _lacks(self, part: Part, items: Sequence[Item]) -> bool:
        """True if the store lacks items before the first one of a partition: the store was away when the flow began."""
        new = {item.partition: item for item in reversed(items) if item.partition not in self._met}
        if not new:
            return False
        done = part.checkpoints()
        gaps = {each: done.get(each, 0) for each, item in new.items() if done.get(each, 0) < _first(item)}
        self._met |= new.keys() - gaps.keys()
        if gaps:
            with self._changed:
                self._leave(f"it has come to {gaps}, the flow begins at {({each: _first(new[each]) for each in gaps})}")
        return bool(gaps)

    def _with_part(self, action: Callable[[Part], object]) -> None:
        assert self._part is not None
        action(self._part)

    def _check(self) -> None:
        """After each use of the sink."""
        with self._changed:
            if self._part is not None and self._part.halted and self._state is State.LIVE and not self._stop.is_set():
                self._leave("it cannot be written")

    def _fetch_up(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self.is_over:
            try:
                self._let_go()
                part = self._part = self._open_part()
                if not part.halted:
                    self._feed(part, self)
                if not part.halted and self._landed():
                    return
            except (StoreError, BusError) as error:
                log.warning("%s cannot be fed now, next try in %.1f s: %s", self.name, pause_s, error)
            with self._changed:
                if self._state is not State.BEHIND:
                    self._leave("")
                self._changed.wait_for(lambda: self.is_over, pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        with self._changed:
            self._changed.wait_for(lambda: self._closing)

    def _landed(self) -> bool:
        """The sink has met the flow; False: it was left behind meanwhile, or the flow ends."""
        with self._changed:
            if self._state is not State.MEETING:
                return False
            self._state = State.LIVE
            self._met = set(self._live)
            log.warning("%s has caught up after %.0f s", self.name, self._clock() - self._behind_s)
            return True

    def _let_go(self) -> None:
        part, self._part = self._part, None
        if part is not None:
            part.let_go()

    def _end(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing)
        try:
            if self._part is not None:
                self._part.close()
        except Exception as error:  # a lane that waits for the last commit must see that it failed
            log.exception("%s was not closed cleanly, the next start goes on at its checkpoint", self.name)
            self._error = self._error or error
        with self._changed:
            self._has_ended = self._error is None
            self._changed.notify_all()


def _is_tick(item: Item) -> bool:
    return isinstance(item, Batch) and item.tick


def _first(item: Item) -> int:
    return item.offset if isinstance(item, Batch) else item.first


def _size(batch: Batch) -> int:
    return batch.header.size_bytes
