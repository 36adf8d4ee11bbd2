"""Lake day: one arrival day of lake and archive, pinned -> the batches in which its rows came, in bus order."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from contracts.batches import IMPORTED, Batch
from contracts.messages import Kind
from lakehouse.delta.notes import gone_of_day
from lakehouse.sql.literals import day_literal
from lakehouse.upkeep.care import Care
from lakehouse.upkeep.imports.land import next_offset
from lakehouse.upkeep.rebuild.lake_rows import LakeRows


class LakeDay:
    """A day in the lake's version at the time of the call. Not thread-safe.

    Attributes:
        total: Number of rows of the day.
        checkpoints: Next offset by bus partition: all earlier messages, of any day, were in the lake.

    Raises:
        StoreError: Lake or archive cannot be read.
    """

    def __init__(self, care: Care, kind: Kind, day: dt.date) -> None:
        self._kind, self._day, self._care = kind, day, care
        self._where = f"day = {day_literal(day)}"
        self._rows = LakeRows(care, kind)
        self.checkpoints = {**self._rows.landed, IMPORTED: next_offset(self._rows.warm)}
        self._removed = gone_of_day(self._rows.warm, day)
        if self._rows.archive is not None:
            self._removed += gone_of_day(self._rows.archive, day)
        self.total = self._rows.count(self._where)

    def changed(self) -> str:
        """The change of the day's rows since the version was pinned, in words; "" if none is known.

        Raises:
            StoreError: Lake or archive cannot be read.
        """
        now, before = LakeDay(self._care, self._kind, self._day), self.checkpoints[IMPORTED]
        if now._removed != self._removed:
            return "records were removed"
        new = f"bus_partition = {IMPORTED:d} AND bus_offset >= {before:d}"
        if now.checkpoints[IMPORTED] == before or not now._rows.count(f"{self._where} AND {new}"):
            return ""
        return "older records were imported"

    def batches(self) -> Iterator[list[Batch]]:
        """All rows, some tens of thousands at a time; the rows of one bus message are one batch.

        Raises:
            StoreError: The rows cannot be read, or the disk has no room to sort them.
        """
        return self._rows.batches(self._where)
