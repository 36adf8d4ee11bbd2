"""The one writer of a kind: batches of a flow -> the indexes of their arrival days, each row once.

Order of a commit: every index that changed (rows and its own checkpoints in one engine commit), then the progress file.
A crash in between replays batches that some index has already; each index skips what is before its own checkpoint.

Another process may drop, forget or rebuild a day meanwhile. Each of them, and each opening and commit here, is alone
for its moment (`KindFolder.switching`); a commit that finds one of its days replaced by a rebuilt one fails, and the
replay goes to the new index.
"""

from __future__ import annotations

import datetime as dt
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.messages import Kind
from contracts.settings import Settings
from lakehouse.hot.tantivy.day import DayWriter, Formats
from lakehouse.hot.tantivy.folder import KindFolder

_IDLE_S = 120.0  # a day that got nothing for so long is closed; midnight is the only time when two are open
_OPEN_DAYS = 4

log = logging.getLogger("headwater.hot")


class TantivyHotWriter:
    """See `contracts.hot.HotWriter`. After a StoreError it must be closed and opened again.

    Args:
        monotonic: Seconds; decides when an idle day is closed.
    """

    def __init__(
        self, folder: KindFolder, kind: Kind, settings: Settings, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._folder = folder
        self._kind = kind
        self._heap_mib = settings.hot_heap_mib
        self._monotonic = monotonic
        self._open: dict[dt.date, DayWriter] = {}
        self._used: dict[dt.date, float] = {}
        self._left_out: set[dt.date] = set()  # days that were dropped, and got rows since the last commit
        self._formats = Formats()
        self._failed = False
        self._lock: int | None = _lock(folder)
        try:
            folder.sweep()
            self._saved = folder.read_progress()
        except StoreError:
            self.close()
            raise
        self._progress = self._saved.copy()

    def checkpoints(self) -> Mapping[int, int]:
        return dict(self._saved.checkpoints)

    @property
    def open_days(self) -> Sequence[dt.date]:
        """Days whose index is open for writing."""
        return sorted(self._open)

    def append(self, batches: Sequence[Batch]) -> None:
        self._check_usable()
        for batch in batches:
            if batch.kind is not self._kind:
                raise ValueError(f"this writer takes {self._kind.value}, not {batch.kind.value}")
            if batch.rows:
                self._add(batch)
            known = self._progress.checkpoints.get(batch.partition, 0)
            self._progress.checkpoints[batch.partition] = max(known, batch.next_offset)

    def _add(self, batch: Batch) -> None:
        day = self._day(batch.day)
        if day is None:
            self._leave_out(batch.day, {batch.partition: batch.next_offset})
            return
        if day.has(batch):
            return
        try:
            day.add(batch)
        finally:
            self._failed = day.is_broken

    def _leave_out(self, day: dt.date, offsets: Mapping[int, int]) -> None:
        skipped = self._progress.skipped.setdefault(day, {})
        for partition, offset in offsets.items():
            skipped[partition] = max(skipped.get(partition, 0), offset)
        self._left_out.add(day)

    def _day(self, day: dt.date) -> DayWriter | None:
        """The open index of `day`; None when the day was dropped."""
        self._used[day] = self._monotonic()
        if (writer := self._open.get(day)) is not None:
            return writer
        with self._folder.switching():
            if self._folder.is_dropped(day):
                return None
            if len(self._open) >= _OPEN_DAYS:
                self._close_day(min(self._open, key=lambda open_day: self._used[open_day]))
            self._open[day] = DayWriter(self._index(day), self._kind, day, self._heap_mib)
        self._progress.days.add(day)
        return self._open[day]

    def _index(self, day: dt.date) -> Path:
        """The folder that rows of `day` go to."""
        index = self._folder.index(day)
        if index is not None and not self._formats.is_ours(index.path):
            log.warning("the index of %s has another format and is begun anew: reads of that day take the lake", day)
            self._folder.forget_alone(day)
            index = None
        if index is not None:
            return index.path
        if day in self._progress.days:  # it is gone: what comes now is not the whole day
            self._progress.distrusted.add(day)
            self._save()
        return self._folder.day_path(day)

    def commit(self) -> None:
        self._check_usable()
        with self._folder.switching():
            self._check_replaced()
            for day in [day for day, writer in self._open.items() if writer.is_dirty]:
                self._commit_day(day)
            if self._progress != self._saved:
                self._folder.write_progress(self._progress)
                self._saved = self._progress.copy()
            self._left_out.clear()
            now = self._monotonic()
            for day in [day for day in self._open if now - self._used[day] > _IDLE_S]:
                self._close_day(day)

    def _check_replaced(self) -> None:
        """Let go of days that were rebuilt meanwhile.

        Raises:
            StoreError: One of them has rows that are not committed, or got some while it was dropped.
        """
        indexes, stale = self._folder.indexes(), set[dt.date]()
        for day, writer in list(self._open.items()):
            if day in indexes and indexes[day].path != writer.path:
                self._open.pop(day).abandon()
                stale |= {day} if writer.is_dirty else set()
        stale |= {day for day in self._left_out if not self._folder.is_dropped(day)}
        if stale:
            self._failed = True
            raise StoreError(f"the hot index of {min(stale)} was rebuilt meanwhile: its newest rows are written again")

    def _commit_day(self, day: dt.date) -> None:
        if self._folder.is_dropped(day):
            self._leave_out(day, self._open[day].next_offsets)
            self._open.pop(day).abandon()
            return
        try:
            self._open[day].commit()
        except StoreError:
            self._open.pop(day).abandon()
            if not self._folder.is_dropped(day):
                self._failed = True
                raise

    def _close_day(self, day: dt.date) -> None:
        self._check_replaced()
        if day in self._open and self._open[day].is_dirty:
            self._commit_day(day)
        if (writer := self._open.pop(day, None)) is not None:
            writer.close()

    def _save(self) -> None:
        """Make what is known of days durable now; checkpoints stay those of the last commit."""
        self._saved = msgspec.structs.replace(self._progress.copy(), checkpoints=self._saved.checkpoints)
        self._folder.write_progress(self._saved)

    def distrust_through(self, day: dt.date) -> None:
        progress = self._progress
        with self._folder.switching():
            progress.distrusted_through = max(day, progress.distrusted_through or day)
            for index in self._folder.indexes().values():
                if index.generation and index.day <= day:
                    progress.distrusted_rebuilt[index.day] = index.generation
            progress.distrusts += 1
            self._save()

    def forget(self, day: dt.date) -> None:
        self.commit()
        if (writer := self._open.pop(day, None)) is not None:
            writer.abandon()
        self._folder.forget(day)

    def _check_usable(self) -> None:
        if self._failed or self._lock is None:
            raise StoreError("this hot writer has failed or is closed", hint="open it again and replay its checkpoints")

    def close(self) -> None:
        for writer in self._open.values():
            writer.abandon()
        self._open.clear()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _lock(folder: KindFolder) -> int:
    """The writer's lock of a kind."""
    descriptor = folder.try_lock(folder.lock_path)
    if descriptor is None:
        raise StoreError(
            f'hot store "{folder.path}" is being written by another process',
            hint="run one flow per kind on a data folder; find the other one and stop it",
        )
    return descriptor
