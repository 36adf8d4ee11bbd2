"""The folder of one kind of the embedded hot store: where its days, its progress and its tombstones are.

<path>/<kind>/2026-01-31/             the index of an arrival day, as the flow wrote it: generation 0
<path>/<kind>/2026-01-31@2/           the same day, rebuilt from the lake: the highest generation is the day
<path>/<kind>/2026-01-31@3.building/  a generation that is not finished
<path>/<kind>/2026-01-31.dropped      a day that was dropped, whatever is replayed, until it is rebuilt
<path>/<kind>/2026-01-31.forgotten    a day whose index was taken away: what is there since is not all of it
<path>/<kind>/….removed               on its way out
<path>/<kind>/progress.json           what is stored, written after every index of a commit, by the writer alone
<path>/<kind>/writer.lock             held by the one process that writes
<path>/<kind>/rebuild.lock            held by the one process that rebuilds
<path>/<kind>/switch.lock             held for the moment in which an index is opened, committed, replaced or removed
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from contracts.errors import StoreError
from contracts.failpoints import failpoint, reach
from contracts.files import replace_file, sync_folder
from contracts.locks import is_locked, lock, try_lock
from contracts.messages import Kind

_DROPPED, _FORGOTTEN, _BUILDING, _REMOVED = ".dropped", ".forgotten", ".building", ".removed"
_NAME = re.compile(r"(\d{4}-\d\d-\d\d)(?:@([1-9]\d*))?(\.building)?")
_ENGINE_LOCK = ".tantivy-writer.lock"

FORGOTTEN_MARKED = failpoint("hot.forgotten_marked", "a day is marked as forgotten, its index is there")
DROPPED_MARKED = failpoint("hot.dropped_marked", "a day is marked as dropped, its index is there")


class Progress(msgspec.Struct):
    """What is stored, and which days cannot be trusted.

    Attributes:
        checkpoints: Next offset by bus partition; everything before it is committed or was dropped.
        days: Every day that was begun. One of them whose folder is gone has lost rows.
        distrusted: Days that are known to miss rows, as the flow wrote them.
        distrusted_through: This day and all before it may miss rows, as the flow wrote them; None is no day.
        distrusted_rebuilt: By day: this generation and those before it may miss rows.
        distrusts: How often something was distrusted; a rebuild must not begin before and end after that.
        skipped: Of days that were dropped: next offset of what came for them and was left out, by bus partition.
    """

    checkpoints: dict[int, int] = {}
    days: set[dt.date] = set()
    distrusted: set[dt.date] = set()
    distrusted_through: dt.date | None = None
    distrusted_rebuilt: dict[dt.date, int] = {}
    distrusts: int = 0
    skipped: dict[dt.date, dict[int, int]] = {}

    def copy(self) -> Progress:
        return msgspec.structs.replace(
            self,
            checkpoints=dict(self.checkpoints),
            days=set(self.days),
            distrusted=set(self.distrusted),
            distrusted_rebuilt=dict(self.distrusted_rebuilt),
            skipped={day: dict(offsets) for day, offsets in self.skipped.items()},
        )

    def trusts(self, index: DayIndex) -> bool:
        if index.is_forgotten:
            return False
        if index.generation:
            return index.generation > self.distrusted_rebuilt.get(index.day, 0)
        if index.day in self.distrusted:
            return False
        return self.distrusted_through is None or index.day > self.distrusted_through


@dataclass(frozen=True, slots=True)
class DayIndex:
    """The index of a day. `generation`: 0 the flow wrote it, else the number of the rebuild."""

    day: dt.date
    generation: int
    path: Path
    is_forgotten: bool = False


class KindFolder:
    """Paths and small files of one kind. Safe to use from several threads and processes."""

    def __init__(self, root: Path, kind: Kind) -> None:
        self.path = root / kind.value
        self.lock_path = self.path / "writer.lock"
        self.rebuild_lock_path = self.path / "rebuild.lock"
        self._progress = self.path / "progress.json"

    def day_path(self, day: dt.date, generation: int = 0) -> Path:
        return self.path / (f"{day.isoformat()}@{generation}" if generation else day.isoformat())

    def building_path(self, day: dt.date, generation: int) -> Path:
        return self.day_path(day, generation).with_name(f"{day.isoformat()}@{generation}{_BUILDING}")

    def _names(self) -> set[str]:
        try:
            return {entry.name for entry in os.scandir(self.path)}
        except FileNotFoundError:
            return set()

    def indexes(self) -> dict[dt.date, DayIndex]:
        """The index of every day that has one and was not dropped, ascending."""
        names, newest = self._names(), dict[dt.date, DayIndex]()
        for name in names:
            parsed = _parse(name)
            if parsed is None or parsed[2] or f"{parsed[0]}{_DROPPED}" in names:
                continue
            day, generation, _ = parsed
            if day in newest and newest[day].generation > generation:
                continue
            if (self.path / name / "meta.json").exists():
                newest[day] = DayIndex(day, generation, self.path / name, f"{day}{_FORGOTTEN}" in names)
        return {day: newest[day] for day in sorted(newest)}

    def index(self, day: dt.date) -> DayIndex | None:
        return self.indexes().get(day)

    def dropped(self) -> list[dt.date]:
        days = [_parse(name.removesuffix(_DROPPED)) for name in self._names() if name.endswith(_DROPPED)]
        return sorted(parsed[0] for parsed in days if parsed is not None)

    def is_dropped(self, day: dt.date) -> bool:
        return (self.path / f"{day.isoformat()}{_DROPPED}").exists()

    @contextlib.contextmanager
    def switching(self) -> Iterator[None]:
        """Alone with the indexes for a moment: nobody opens, commits, replaces or removes one meanwhile. Not to be
        nested."""
        with self.locked("switch.lock"):
            yield

    @contextlib.contextmanager
    def locked(self, name: str) -> Iterator[None]:
        with self._writable():
            descriptor = lock(self.path / name, 0o644)
        try:
            yield
        finally:
            os.close(descriptor)

    def try_lock(self, path: Path) -> int | None:
        """The descriptor that holds the lock `path` of this folder; None when another one holds it."""
        with self._writable():
            return try_lock(path, 0o644)

    @contextlib.contextmanager
    def _writable(self) -> Iterator[None]:
        """Make the folder for the block, whose OSError means that the folder cannot be written."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            yield
        except OSError as error:
            raise StoreError(f'hot store folder "{self.path}" cannot be written: {error}') from error

    def drop(self, day: dt.date) -> None:
        """Leave a tombstone, then remove the index. In this order, so that no crash between them forgets the drop."""
        with self.switching():
            self._mark(day, _DROPPED)
            reach(DROPPED_MARKED)
            gone = self._put_away(day)
        _delete(gone)

    def forget(self, day: dt.date) -> None:
        """Remove the index, and note that what comes from now on is not the whole day.

        Raises:
            StoreError: Somebody has the day open for writing; nothing was changed.
        """
        with self.switching():
            self._check_not_open(day)
            self.forget_alone(day)

    def forget_alone(self, day: dt.date) -> None:
        """The same within `switching`, of a day that nobody has open."""
        self._mark(day, _FORGOTTEN)
        reach(FORGOTTEN_MARKED)
        _delete(self._put_away(day))

    def _mark(self, day: dt.date, mark: str) -> None:
        with self._writable():
            (self.path / f"{day.isoformat()}{mark}").touch()
            sync_folder(self.path)

    def unmark(self, day: dt.date) -> None:
        """Within `switching`: the day is neither dropped nor forgotten any more."""
        for mark in (_FORGOTTEN, _DROPPED):  # a day that was dropped stays so until the last moment
            (self.path / f"{day.isoformat()}{mark}").unlink(missing_ok=True)
        sync_folder(self.path)

    def _check_not_open(self, day: dt.date) -> None:
        index = self.index(day)
        if index is not None and is_locked(index.path / _ENGINE_LOCK):
            raise StoreError(
                f'hot index "{self.path.name}/{index.path.name}" is open for writing in a flow',
                hint="let that flow forget the day, or call again two minutes after the last record of that day",
                retry_after_s=30,
            )

    def _put_away(self, day: dt.date, before: int | None = None) -> list[Path]:
        """Rename every generation (below `before`; None: also what is being built), so that nobody finds it and
        nothing is put into it any more."""
        away = []
        for name in self._names():
            parsed = _parse(name)
            if parsed is None or parsed[0] != day or (before is not None and (parsed[2] or parsed[1] >= before)):
                continue
            aside = self.path / f"{name}.{secrets.token_hex(4)}{_REMOVED}"
            with contextlib.suppress(FileNotFoundError):
                (self.path / name).rename(aside)
                away.append(aside)
        return away

    def remove_before(self, index: DayIndex) -> None:
        """Remove the older generations of that day."""
        with self.switching():
            gone = self._put_away(index.day, index.generation)
        _delete(gone)

    def generations(self, day: dt.date) -> list[int]:
        """Of a day, unfinished ones and those of a dropped day as well."""
        return sorted(parsed[1] for name in self._names() if (parsed := _parse(name)) is not None and parsed[0] == day)

    def sweep(self) -> None:
        """Remove what a process left that was killed: what nobody reads any more, and what nobody builds any more."""
        with self.switching():
            gone = [self.path / name for name in self._names() if name.endswith(_REMOVED)]
            for day in self.dropped():
                gone += self._put_away(day, before=1 << 62)
            for index in self.indexes().values():
                gone += self._put_away(index.day, index.generation)
        _delete(gone)
        rebuilding = self.try_lock(self.rebuild_lock_path)
        if rebuilding is None:  # what is being built is somebody's
            return
        try:
            self.sweep_building()
        finally:
            os.close(rebuilding)

    def sweep_building(self) -> None:
        """Remove what a killed rebuild left; only for who holds the lock of rebuilding."""
        _delete(self.path / name for name in self._names() if name.endswith(_BUILDING) and _parse(name))

    def read_progress(self) -> Progress:
        """Raises StoreError when the file is damaged."""
        try:
            return msgspec.json.decode(self._progress.read_bytes(), type=Progress)
        except FileNotFoundError:
            return Progress()
        except (msgspec.MsgspecError, OSError) as error:
            raise StoreError(
                f'progress of the hot store "{self._progress}" cannot be read: {error}',
                hint=f'stop the flows and delete "{self.path}": it is filled again from the bus, older days come '
                "from the lake",
            ) from error

    def write_progress(self, progress: Progress) -> None:
        """Replace the file at once and durably; on StoreError the one before is still there."""
        try:
            replace_file(self._progress, msgspec.json.encode(progress), mode=0o644)
        except OSError as error:
            raise StoreError(
                f'"{self._progress}" cannot be written: {error}',
                hint="free disk space or check rights",
                retry_after_s=10,
            ) from error


def _parse(name: str) -> tuple[dt.date, int, bool] | None:
    """Day, generation and whether it is unfinished; None: not the name of an index."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return dt.date.fromisoformat(match[1]), int(match[2] or 0), match[3] is not None
    except ValueError:
        return None


def _delete(paths: Iterable[Path]) -> None:
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
