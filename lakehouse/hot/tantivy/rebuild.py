"""Batches of a closed day, read from the lake -> a new generation of its index, put in the place of the old at once.

The index is built and committed in a folder that no reader looks at; its renaming is the switch. A crash before leaves
a folder that is removed later, a crash after leaves an older generation that nobody reads, or a day that still counts
as dropped or forgotten. The checkpoints of the new index are the lake's: a flow appends to it what came later.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from contracts.batches import Batch
from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from contracts.files import replace_file, sync_folder
from contracts.messages import Kind
from contracts.settings import Settings
from lakehouse.hot.tantivy.day import DayWriter, stored_checkpoints
from lakehouse.hot.tantivy.folder import DayIndex, KindFolder

_NOTE = "rebuilt"  # a file beside those of the engine: when, Unix nanoseconds UTC

BUILT = failpoint("hot_rebuild.built", "the new index is complete in a folder that no reader looks at")
SWITCHED = failpoint("hot_rebuild.switched", "the new index stands beside the old one, under its own name")
UNMARKED = failpoint("hot_rebuild.unmarked", "the rebuilt day is neither dropped nor forgotten any more")
REMOVED = failpoint("hot_rebuild.removed", "the older generations of the rebuilt day are gone")


class TantivyHotRebuild:
    """See `contracts.hot.HotRebuild`."""

    def __init__(self, folder: KindFolder, kind: Kind, day: dt.date, settings: Settings) -> None:
        self._folder, self._kind, self._day = folder, kind, day
        self._writer: DayWriter | None = None
        self._lock: int | None = _lock(folder)
        try:
            folder.sweep_building()
            progress = folder.read_progress()
            self._distrusts = progress.distrusts
            numbers = [0, progress.distrusted_rebuilt.get(day, 0), *folder.generations(day)]
            self._generation = max(numbers) + 1
            self._path = folder.building_path(day, self._generation)
            with folder.switching():  # as whoever removes the day must find it in full
                self._writer = DayWriter(self._path, kind, day, settings.hot_heap_mib)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, batches: Sequence[Batch]) -> None:
        writer = self._usable()
        for batch in batches:
            if batch.kind is not self._kind or batch.day != self._day:
                raise ValueError(f"this rebuild takes {self._kind.value} of {self._day}, not {batch.kind} {batch.day}")
            if batch.rows:
                writer.add(batch)

    def complete(self, checkpoints: Mapping[int, int]) -> None:
        writer = self._usable()
        for partition, offset in writer.next_offsets.items():
            if offset > checkpoints.get(partition, 0):
                raise StoreError(f"rows of bus partition {partition} lie past the checkpoints of this rebuild")
        writer.end_at(checkpoints)
        writer.commit()
        writer.close()
        self._writer = None
        _note(self._path)
        reach(BUILT)
        index = DayIndex(self._day, self._generation, self._folder.day_path(self._day, self._generation))
        with self._folder.switching():
            self._check(checkpoints)
            self._switch(index)
            reach(SWITCHED)
            self._folder.unmark(self._day)
            reach(UNMARKED)
        self._folder.remove_before(index)
        reach(REMOVED)
        self.close()

    def _check(self, checkpoints: Mapping[int, int]) -> None:
        """See, while nobody can change it, that the day lost nothing by what came meanwhile."""
        progress = self._folder.read_progress()
        if progress.distrusts != self._distrusts:
            raise self._again("days were found to miss rows meanwhile")
        there = dict(progress.skipped.get(self._day, {}))
        index = self._folder.index(self._day)
        for partition, offset in ({} if index is None else stored_checkpoints(index.path)).items():
            there[partition] = max(offset, there.get(partition, 0))
        if any(offset > checkpoints.get(partition, 0) for partition, offset in there.items()):
            raise self._again("the day got rows that the lake did not have")

    def _again(self, why: str) -> StoreError:
        return StoreError(
            f"{self._kind.value} of {self._day} were not rebuilt: {why}", hint="run it again", retry_after_s=30
        )

    def _switch(self, index: DayIndex) -> None:
        try:
            self._path.rename(index.path)
            sync_folder(index.path.parent)
        except FileNotFoundError as error:
            raise self._again("the day was dropped or forgotten meanwhile") from error
        except OSError as error:
            raise StoreError(f'"{index.path}" cannot be written: {error}', hint="check disk and rights") from error

    def _usable(self) -> DayWriter:
        if self._writer is None or self._writer.is_broken:
            raise StoreError("this rebuild has failed or is over", hint="begin another one")
        return self._writer

    def close(self) -> None:
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None
        if self._lock is not None:
            self._folder.sweep_building()
            os.close(self._lock)
            self._lock = None


def rebuilt_ns(path: Path) -> int | None:
    """When the index at `path` was rebuilt; None: a flow wrote it."""
    try:
        return int((path / _NOTE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _note(path: Path) -> None:
    try:
        replace_file(path / _NOTE, str(time.time_ns()).encode(), mode=0o644)
    except OSError as error:
        raise StoreError(f'hot index "{path}" cannot be written: {error}', hint="it may have been dropped") from error


def _lock(folder: KindFolder) -> int:
    descriptor = folder.try_lock(folder.rebuild_lock_path)
    if descriptor is None:
        raise StoreError(
            f'a day of the hot store "{folder.path}" is being rebuilt by another process',
            hint="wait until it is done",
            retry_after_s=30,
        )
    return descriptor
