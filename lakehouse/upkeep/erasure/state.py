"""Erasure state: progress of an erasure -> `<data>/erasures/<id>.json`, so that the receipt is whole after a crash."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Self

import msgspec

from contracts.files import replace_file
from contracts.settings import Settings


class ErasureState(msgspec.Struct):
    """Saved before each step.

    Attributes:
        days: Days with removed rows by table ("lake/logs"); the tables count the rows.
        hot: Days that the hot store forgot, by kind.
        rollups: Days that were computed again, by table.
        bus: Result by topic.
        files: Deleted files.
    """

    id: str
    began_ns: int
    days: dict[str, list[str]] = {}
    hot: dict[str, list[str]] = {}
    rollups: dict[str, list[str]] = {}
    bus: dict[str, Any] = {}
    files: list[str] = []

    @classmethod
    def of(cls, settings: Settings, erasure: str, now_ns: int) -> Self:
        """The saved state of an earlier run, or a new state."""
        try:
            return msgspec.json.decode(_file(settings, erasure).read_bytes(), type=cls)
        except (FileNotFoundError, msgspec.MsgspecError):
            return cls(erasure, now_ns)

    def touch(self, table: str, day: dt.date) -> None:
        _add(self.days, table, day)

    def forgot(self, kind: str, day: dt.date) -> None:
        _add(self.hot, kind, day)

    def restated(self, table: str, day: dt.date) -> None:
        _add(self.rollups, table, day)

    def save(self, settings: Settings) -> None:
        """Durable on return."""
        path = _file(settings, self.id)
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, msgspec.json.encode(self))

    def remove(self, settings: Settings) -> None:
        _file(settings, self.id).unlink(missing_ok=True)


def _file(settings: Settings, erasure: str) -> Path:
    return settings.data / "erasures" / f"{erasure}.json"


def _add(days: dict[str, list[str]], name: str, day: dt.date) -> None:
    known = days.setdefault(name, [])
    if day.isoformat() not in known:
        known.append(day.isoformat())
