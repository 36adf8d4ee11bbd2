"""The folder of one kind of the embedded hot store: where its days, its progress and its tombstones are.

<path>/<kind>/2026-01-31/           the index of an arrival day
<path>/<kind>/2026-01-31.dropped    a day that was dropped for good, whatever is replayed
<path>/<kind>/progress.json         what is stored, written after every index of a commit
<path>/<kind>/writer.lock           held by the one process that writes
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from pathlib import Path

import msgspec

from contracts.errors import StoreError
from contracts.messages import Kind

_DROPPED = ".dropped"


class Progress(msgspec.Struct):
    """What is stored, and which days cannot be trusted.

    Attributes:
        checkpoints: Next offset by bus partition; everything before it is committed or was dropped.
        days: Every day that was begun. One of them whose folder is gone has lost rows.
        distrusted: Days that are known to miss rows.
        distrusted_through: This day and all before it may miss rows; None is no day.
    """

    checkpoints: dict[int, int] = {}
    days: set[dt.date] = set()
    distrusted: set[dt.date] = set()
    distrusted_through: dt.date | None = None

    def copy(self) -> Progress:
        return Progress(dict(self.checkpoints), set(self.days), set(self.distrusted), self.distrusted_through)

    def trusts(self, day: dt.date) -> bool:
        return day not in self.distrusted and (self.distrusted_through is None or day > self.distrusted_through)


class KindFolder:
    """Paths and small files of one kind. Safe to use from several processes."""

    def __init__(self, root: Path, kind: Kind) -> None:
        self.path = root / kind.value
        self.lock_path = self.path / "writer.lock"
        self._progress = self.path / "progress.json"

    def day_path(self, day: dt.date) -> Path:
        return self.path / day.isoformat()

    def days(self) -> list[dt.date]:
        """Days that have an index and were not dropped, ascending."""
        try:
            names = {entry.name for entry in os.scandir(self.path)}
        except FileNotFoundError:
            return []
        days = [_day(name) for name in names if name + _DROPPED not in names]
        return sorted(day for day in days if day is not None and (self.day_path(day) / "meta.json").exists())

    def is_dropped(self, day: dt.date) -> bool:
        return (self.path / f"{day.isoformat()}{_DROPPED}").exists()

    def drop(self, day: dt.date) -> None:
        """Leave a tombstone, then remove the index. In this order, so that no crash between them forgets the drop."""
        self.path.mkdir(parents=True, exist_ok=True)
        (self.path / f"{day.isoformat()}{_DROPPED}").touch()
        _sync_folder(self.path)
        shutil.rmtree(self.day_path(day), ignore_errors=True)

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
        beside = self._progress.with_suffix(".new")
        try:
            with beside.open("wb") as file:
                file.write(msgspec.json.encode(progress))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self._progress)
            _sync_folder(self.path)
        except OSError as error:
            raise StoreError(
                f'"{self._progress}" cannot be written: {error}',
                hint="free disk space or check rights",
                retry_after_s=10,
            ) from error


def _day(name: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(name) if len(name) == 10 else None
    except ValueError:
        return None


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
