"""Sinks: batches -> hot store and lake, each with its own checkpoint beside the rows.

Exactly once visible: rows and checkpoint are one commit, and what lies before the checkpoint is skipped. A commit
comes by time (looked at on every write and tick), by rows (the lake), and at the end of the flow. Parallelism: as many
as the store admits writers; the embedded hot store admits one.

A store that cannot be written is waited for, as long as the patience of its sink lasts. Once the patience has ended,
or the flow is told to stop, the sink takes nothing more: what it holds is fed to another one later, from the checkpoint
(`catching_up`). What a store cannot hold, whenever it is tried: the lake sends it to the dead letters; the hot store,
an index of the lake, says that it misses rows of that day, and reads take the lake.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping

from bytewax.outputs import StatelessSinkPartition

from contracts.batches import Batch, Reject
from contracts.errors import BusError, StoreError
from contracts.hot import HotWriter
from contracts.messages import BatchHeader, Kind
from contracts.tenants import Tenant
from flows.arrivals import Item, Lost
from flows.parse.batch import refusal
from flows.patience import patiently
from flows.write.dead_letters import DeadLetterWriter
from lakehouse.lake.writer import LakeWriter

TRIM_S = 60.0
POISON_TRIES = 5
POISON_S = 6.0  # duration of these tries, added to the patience: then the batch is at fault, not the store
BACKLOG_AGE_S = 2.0  # records that arrived longer ago are a backlog: half a second more does not matter to a search
BACKLOG_COMMIT_S = 3.0  # pause between commits of a backlog: larger commits leave a third less to merge
COMMIT_REST = 4  # pause after a commit, as a multiple of its duration: a busy machine commits less often
LAKE = "lake"

log = logging.getLogger("headwater.flows")


class Halting:
    """What both parts do: an action with patience, and nothing after one that was given up or that failed.

    The engine closes its parts also after an exception; a part that raised then must not commit, nor raise again.
    """

    def __init__(self, stop: threading.Event, patience_s: float | None) -> None:
        self._stop, self._patience_s = stop, patience_s
        self._halted = False

    @property
    def halted(self) -> bool:
        """Whether something was given up, or failed: this part takes nothing more."""
        return self._halted

    def _do(self, what: str, action: Callable[[], object]) -> None:
        if self._halted:
            return
        self._halted = True
        self._halted = not patiently(what, action, self._stop, self._patience)

    def _patience(self) -> float | None:
        return self._patience_s

    def _last(self, action: Callable[[], None]) -> None:
        """The last commit. What raises here aborts the process; not committing is safe, the next start replays."""
        try:
            action()
        except Exception:
            log.exception("last commit failed, the next start replays")


class HotPart(Halting, StatelessSinkPartition[Item]):
    """Keeps what is not committed, so that a writer that failed can be opened anew and given it again.

    Args:
        patience_s: How long one action may fail before this part gives up; None: for ever.
    """

    def __init__(
        self,
        open_writer: Callable[[], HotWriter],
        commit_s: float,
        stop: threading.Event,
        clock: Callable[[], float] = time.monotonic,
        now_ns: Callable[[], int] = time.time_ns,
        patience_s: float | None = None,
    ) -> None:
        super().__init__(stop, patience_s)
        self._open, self._commit_s, self._clock, self._now_ns = open_writer, commit_s, clock, now_ns
        self._writer: HotWriter | None = None
        self._uncommitted: list[Batch] = []
        self._committed_s = clock()
        self._rest_s = 0.0
        self._tries = 0
        self._do("opening the hot store", self._reopen)

    def write_batch(self, items: list[Item]) -> None:
        for item in items:
            if self._halted:
                return
            if isinstance(item, Lost):
                self._do("noting lost messages in the hot store", functools.partial(self._distrust, item))
                self._take(passed(item))
            elif not item.tick:
                self._take(item)
        if self._uncommitted and self._clock() - self._committed_s >= self._pause_s():
            self._commit()

    def checkpoints(self) -> Mapping[int, int]:
        """Next offset by bus partition: everything before it is committed.

        Raises:
            StoreError: The store cannot be opened.
        """
        return self._reopen().checkpoints()

    def due_s(self) -> float | None:
        """In how many seconds `write_batch` is to be called, also without items; None: only with items."""
        return self._committed_s + self._pause_s() - self._clock() if self._uncommitted else None

    def _pause_s(self) -> float:
        """How long a commit stands off from the one before."""
        age_ns = self._now_ns() - self._uncommitted[-1].header.received_ns
        backlog_s = BACKLOG_COMMIT_S if age_ns > BACKLOG_AGE_S * 1e9 else 0.0
        return max(self._commit_s, self._rest_s, backlog_s)

    def _take(self, batch: Batch) -> None:
        self._uncommitted.append(batch)
        self._do("writing the hot store", functools.partial(self._append, batch))

    def _patience(self) -> float | None:
        """A store that opens and refuses a batch is given the tries that tell which of the two is at fault."""
        return None if self._patience_s is None else self._patience_s + (POISON_S if self._tries else 0.0)

    def settle(self) -> None:
        """Commit what waits, whatever the clock says."""
        if self._uncommitted:
            self._commit()

    def let_go(self) -> None:
        """Drop what is not committed, and close the writer. Idempotent."""
        self._halted = True
        self._uncommitted = []
        self._fail()

    def forget(self, day: dt.date) -> None:
        """Let the writer forget a day; what it has is committed before."""
        self._do("forgetting a day of the hot store", functools.partial(self._forget_once, day))

    def _forget_once(self, day: dt.date) -> None:
        self._commit_once()
        try:
            self._reopen().forget(day)
        except StoreError:
            self._fail()
            raise

    def _reopen(self) -> HotWriter:
        """The writer; after a failure a new one that was given everything that is not committed."""
        if self._writer is None:
            writer = self._open()
            try:
                writer.append(self._uncommitted)
            except BaseException:
                writer.close()
                raise
            self._writer = writer
        return self._writer

    def _fail(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _append(self, batch: Batch) -> None:
        writer = self._writer or self._open()  # a store that cannot be opened says nothing against the batch
        try:
            writer.append([batch] if writer is self._writer else self._uncommitted)
            self._writer = writer
        except Exception as error:  # what the store did not foresee is tried again as well, then given up
            writer.close()
            self._writer = None
            self._tries += 1
            if self._tries >= POISON_TRIES:
                self._without_rows(batch, error)
            elif isinstance(error, StoreError):
                raise
            else:
                raise StoreError(f"{type(error).__name__}: {error}"[:500]) from error
        self._tries = 0

    def _without_rows(self, batch: Batch, error: Exception) -> None:
        """When the store works without this batch, it is the batch: leave its day to the lake."""
        self._uncommitted[-1] = dataclasses.replace(batch, rows=())
        try:
            writer = self._reopen()
            writer.commit()
            writer.distrust_through(batch.day)
        except StoreError:
            self._uncommitted[-1] = batch
            self._fail()
            raise
        where = f"{batch.kind} {batch.partition}/{batch.offset}"
        log.error("hot store cannot hold batch %s, days up to %s are left to the lake: %s", where, batch.day, error)

    def _distrust(self, lost: Lost) -> None:
        writer = self._reopen()
        if lost.day is not None and writer.checkpoints().get(lost.partition, 0) < lost.next_offset:
            writer.distrust_through(lost.day)

    def _commit(self) -> None:
        self._do("committing the hot store", self._commit_once)

    def _commit_once(self) -> None:
        begun_s = self._clock()
        try:
            self._reopen().commit()
        except StoreError:
            self._fail()
            raise
        self._uncommitted = []
        self._committed_s = self._clock()
        self._rest_s = COMMIT_REST * (self._committed_s - begun_s)

    def close(self) -> None:
        if self._uncommitted:
            self._last(self._commit)
        self._fail()


class LakePart(Halting, StatelessSinkPartition[Item]):
    """The writer keeps what it could not commit; the same call is made again."""

    def __init__(
        self,
        open_writer: Callable[[], LakeWriter],
        commit_s: float,
        stop: threading.Event,
        dead: DeadLetterWriter,
        trim: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        patience_s: float | None = None,
    ) -> None:
        super().__init__(stop, patience_s)
        self._open, self._commit_s, self._dead, self._trim, self._clock = open_writer, commit_s, dead, trim, clock
        self._writer: LakeWriter | None = None
        self._waiting_since_s: float | None = None
        self._trimmed_s = clock()
        self._trims_failed = 0
        self._before_commit: Callable[[], object] = lambda: None
        self._do("opening the lake", self._opened)

    def go_after(self, before_commit: Callable[[], object]) -> None:
        """Do `before_commit` before each commit of the lake."""
        self._before_commit = before_commit
        if self._writer is not None:
            self._writer.before_commit = before_commit

    def settle(self) -> bool:
        """Commit what waits, whatever the clock says; False: told to stop before it worked."""
        self._commit()
        return not self._halted

    def _opened(self) -> LakeWriter:
        if self._writer is None:
            self._writer = self._open()
            self._writer.before_commit = self._before_commit
        return self._writer

    def write_batch(self, items: list[Item]) -> None:
        for item in items:
            if self._halted:
                return
            if isinstance(item, Lost):
                self._do("noting lost messages in the lake", functools.partial(self._note_lost, item))
            elif not item.tick:
                self._do("writing the lake", functools.partial(self._append, item))
            else:
                continue
            if self._waiting_since_s is None:
                self._waiting_since_s = self._clock()
        now_s = self._clock()
        if self._waiting_since_s is not None and now_s - self._waiting_since_s >= self._commit_s:
            self._commit()
        if now_s - self._trimmed_s >= TRIM_S and not self._halted:
            self._trimmed_s = now_s
            self._trim_bus()

    def _trim_bus(self) -> None:
        """Upkeep: no record waits for it."""
        try:
            self._trim()
        except (BusError, StoreError) as error:
            self._trims_failed += 1
            hint = f"; {error.hint}" if error.hint else ""
            log.warning(
                "the bus was not trimmed (failure %d since this start), next try in %.0f s: %s%s",
                self._trims_failed,
                TRIM_S,
                error,
                hint,
            )

    def checkpoints(self) -> Mapping[int, int]:
        """Next offset by bus partition: everything before it is committed.

        Raises:
            StoreError: The lake cannot be opened.
        """
        return self._opened().checkpoints()

    def due_s(self) -> float | None:
        """In how many seconds `write_batch` is to be called, also without items."""
        due_s = self._trimmed_s + TRIM_S
        if self._waiting_since_s is not None:
            due_s = min(due_s, self._waiting_since_s + self._commit_s)
        return due_s - self._clock()

    def let_go(self) -> None:
        """Drop what is not committed, and close the writer. Idempotent."""
        self._halted = True
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _note_lost(self, lost: Lost) -> None:
        self._opened().note_lost(lost.partition, lost.first, lost.next_offset, lost.count)

    def _append(self, batch: Batch) -> None:
        try:
            self._opened().append([batch])
        except StoreError:
            raise
        except Exception:  # a value that fits no column: find it, and let the others pass
            rest, culprits = parted(batch)
            if not self._dead.write(batch, culprits, LAKE):
                raise StoreError("told to stop before the dead letters were written") from None
            self._opened().append([rest])

    def _commit(self) -> None:
        self._do("committing the lake", self._opened().commit)
        if not self._halted:
            self._waiting_since_s = None

    def close(self) -> None:
        self._last(self._commit)
        self.let_go()


def passed(lost: Lost) -> Batch:
    """Nothing, up to the end of the lost range."""
    return through(lost.kind, lost.partition, lost.next_offset)


def through(kind: Kind, partition: int, next_offset: int) -> Batch:
    """A batch without rows that moves a checkpoint to `next_offset`."""
    header = BatchHeader(tenant=Tenant(""), kind=kind, producer="", received_ns=0)
    return Batch(header, partition, next_offset - 1)


def parted(batch: Batch) -> tuple[Batch, list[Reject]]:
    """The batch with the rows that the table can hold, and rejects for the others."""
    from lakehouse.delta.schemas import record_batch

    rows, culprits = [], []
    for row in batch.rows:
        try:
            record_batch(dataclasses.replace(batch, rows=[row]), "")
            rows.append(row)
        except Exception as error:  # the culprit: it becomes a value
            reject = refusal(row.index, row, "unstorable", f"{type(error).__name__}: {error}"[:500])
            culprits.append(dataclasses.replace(reject, stage=LAKE))
    if not culprits:
        raise StoreError(
            f"the lake refuses the batch at offset {batch.offset}, but none of its rows alone", retry_after_s=5
        )
    return dataclasses.replace(batch, rows=rows, rejects=[*batch.rejects, *culprits]), culprits
